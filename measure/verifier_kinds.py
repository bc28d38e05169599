r"""Answers of every kind: right (==) and wrong (!=) for the truth behind the sign.

The kinds are those on which verifiers have gone wrong in public: in their issues, their test tables, and with the
ground truths and model outputs of benchmarks. Whoever changes how two answers are compared adds a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

TABLE = r"""
# OPTIONS
A: because it is right == A | (A) == A | A。 == A | \textbf{A} == A | $A$ == A | {A} == A | A) 12 == A | 选项B == B
B选项 == B | 应选B == B | 正确答案是B == B | 答案：(B) == B | 选C == C | 故选C。 == C | 故答案为：B == B
The answer is (C) == C
Option C == C | option (c) == C | choice D == D | C since it is larger == C | The correct option is B == B
D is correct == D | D is the correct answer == D | A、C == AC | A,C == AC | AC == A, C | A and C == A,C
A, B and D == ABD | {\rm (C)} == C | {\Large \textbf{(D)}} == D | \mathbf{(E)}\ 5 == E | \textbf{(E) } 5 == E
\text{(B) } == B | \boxed{B} == B | (A) \; 12 == A | \mathrm{(A)} == A | C, because of symmetry == C | B) 12 cm == B
**B** == B | B: 12 == B | Answer: B == B | Final Answer: B == B | \text{Answer: } C == C | The final answer is B. == B
A, B != A | A and B != A | A or B != A | (A)(B) != A | [A], [B] != A | A/B != A | A;B != A | AB != A | A & B != A
(A) 3, (B) 4 != A | A. B != A | A or C != C | (B) or (A) != B | A B C != A | Both A and B != A | A, B, C, D != A
\text{(A) or (B)} != A | Either A or B != A | (A) (B) != A | A)B) != A | A->B != A | A，B != A | A、B != A | A,B != B
None of A, B != A | A: 3, B: 4 != A | not A != A | (A), (B), (C) != C | ABCD != D | All of the above != A | A-D != A
B > A != A | A (B) != A

# ROMAN NUMERALS
I and II == I, II | \text{I and III} == \text{I, III} | I & II == I and II | \text{I and II only} == I and II only
1 and 3 == 1 & 3 | II == \text{II} | \text{I. and II. only} == I. and II. only
I != II | I only != II only | I and III != I and II | \text{I, II} != \text{I, III}
\text{I only} != \text{I and II only} | 1 & 4 != 1 & 3 | I != A | I. only != I. and II. only
\text{II. only} != \text{I. only} | III != I

# YES AND NO
yes == Yes | Yes. == Yes | Yes, it is. == Yes | No, they are not == No | TRUE == True | \text{yes} == Yes | No! == No
The answer is yes == Yes | False == false
Yes or No != Yes | Yes/No != Yes | Yes and no != Yes | yes, no != Yes | Yes. No. != Yes | True/False != True
no idea != No | No one knows != No | not sure != No | True, False != True | Yes, or maybe no != Yes
No real roots != No | Cannot be determined != No | None != No | Yes; no != No | Not given != No
False or True != False | Nothing != No | no answer != No | Yes, but no != Yes | true or false != true

# NAMES AND ORDERS
\angle CBA == \angle ABC | ∠ABC == \angle ABC | angle ABC == \angle ABC | \overline{BA} == \overline{AB}
AB == \overline{AB} | \triangle ABC == △ABC | triangle ABC == \triangle ABC | \text{triangle } ABC == △ABC
GRGR == \text{GRGR} | PTT == PTT | \angle 1 == ∠1 | \angle{ABC} == \angle ABC | ABC == \triangle ABC
\Delta ABC == \triangle ABC | AB \parallel CD == AB ∥ CD | AB ⊥ CD == AB \perp CD | \odot O == ⊙O
segment AB == \overline{AB} | m\angle ABC == \angle ABC
ACB != ABC | \angle BAC != \angle ABC | ∠ACB != ∠ABC | RRS != RSR | GGRR != GRGR | TPT != PTT | WNN != NNW
NSEW != NEWS | dlorw != dlrow | 2:3:1 != 1:2:3 | \triangle ACB != \triangle ABC | BA != \overrightarrow{AB}
\vec{BA} != \vec{AB} | Tom is taller than Jerry != Jerry is taller than Tom | HTH != HHT | LRRL != LRLR
Anna won != Emma won | ADCB != ABCD | \text{Jake} != \text{Mike} | C, A, B != A, C, B | 1:3 != 3:1
\overline{AC} != \overline{AB} | PQ != PR | ECABD != EBCAD | the left one != the right one

# WHAT IS COUNTED
1 squares == 1 square | 5 km to the north == 5 km north | 5 apples == 5 apple | 5 == 5 apples | 5 apples == 5
41 black and 40 white == 40 white and 41 black | 3 units to the right == 3 units right | 2 hexagons == 2 hexagon
12 students == 12 | three hexagons == 3 hexagons | 5 people in total == 5 people
1 circle != 1 square | 2 more != 2 fewer | 3 units up != 3 units down | 5 km east != 5 km west
5 miles north != 5 miles | 3 left != 3 right | 4 boys != 4 girls | 5 red != 5 blue | 2 hours ago != 2 hours later
3 red and 2 blue != 2 red and 3 blue | 2 apples and 3 pears != 3 apples and 2 pears | 10 more than != 10 less than
5 wins != 5 losses | 2 cats != 2 dogs | 30 degrees clockwise != 30 degrees counterclockwise | 1 triangle != 1 square
5 points more != 5 points fewer | 10% increase != 10% decrease | 3 north != 3 south | 5 km != 5 km north
5 != 5 km south | 12 black != 12 white | 2 units right and 3 up != 3 units right and 2 up
3 steps forward != 3 steps backward | 5 years older != 5 years younger

# LEFT SIDES
12 == Area = 12 | 12 == \text{Area}=12 | 12 == S=12 | 12 == \text{Area of } ABC = 12 | 1 == |AB| = 1 | 5 == AB = 5
30 == \angle ABC = 30^\circ | 30° == \angle A=30° | (0,0) == (x,y) = (0,0) | 1/2 == P(A) = \frac12 | 3 == f(2)=3
12 == Perimeter = 12 | 5 == \overline{AB} = 5 | 2 == \frac{AB}{CD}=2 | 6 == S_{\triangle ABC}=6 | 2x+1 == f(x)=2x+1
2x+1 == y=2x+1 | 5 == a_5 = 5 | 40 == m\angle 1 = 40 | Area = 12 == 12 | \text{Area} = 12\text{ cm}^2 == 12
2x == \frac{dy}{dx} = 2x | 3=x == x=3 | 5 = x == 5 | x=2+3=5 == 5 | r = 3 == 3
13 != Area = 12 | 1 != x^2+y^2=1 | x=4 != x=3 | 4=x != 3 | 12 != Area = 12, Perimeter = 14

# ASSIGNMENTS
y=2, x=1 == x=1, y=2 | x=1 and y=2 == x=1, y=2 | x=1,y=2 == (1,2) | (1,2) == x=1, y=2 | x = 1 \quad y = 2 == x=1, y=2
\begin{cases} x=1 \\ y=2 \end{cases} == x=1, y=2 | x=1; y=2 == x=1,y=2 | (x,y)=(1,2) == (1,2)
x=1\text{ or }x=2 == x=1,2 | a_3 = 2, a_{37} = 19 == a_{37}=19, a_3=2 | x_1=1, x_2=2 == x_{1} = 1, x_{2} = 2
AB=4, CD=5 == CD=5, AB=4 | x=1, x=2 == x=2 or x=1 | m=2\text{ 且 }n=3 == m=2, n=3 | x=1，y=2 == x=1, y=2
x=2, y=1 != x=1, y=2 | (x,y)=(2,1) != (x,y)=(1,2) | y=1, x=2 != x=1, y=2 | x=1, y=3 != x=1, y=2
AB=5, CD=4 != AB=4, CD=5 | x = 1, y = 2 != 2 | x=1 \text{ and } y=2 != 2 | x=1; y=2 != 1 | a=3, b=4 != 5
a = 1 \\ b = 2 != a=2, b=1 | x_1 = 2, x_2=1 != x_1=1, x_2=2 | x=3, y=4, z=5 != x=3, y=5, z=4
\begin{cases} x=2 \\ y=1 \end{cases} != x=1, y=2 | y = 5 != x = 5 | x=1 != x=1, y=2 | x = 1 y = 2 != 1
length = 5, width = 3 != length = 3, width = 5 | f(1)=2, f(2)=1 != f(1)=1, f(2)=2 | x=2,y=1 != (1,2) | a=2 != a=2, b=3
A=30°, B=60° != A=60°, B=30°

# CHINESE
8厘米 == 8 | 8平方厘米 == 8 | 8元 == 8 | 8度 == 8° | 8个 == 8 | 3或5 == 3 or 5 | 3和5 == 3,5 | 答案是8 == 8
答案为8 == 8 | 答案：8 == 8
x=3或x=5 == x=3,5 | ８ == 8 | 1，2，3 == 1,2,3 | -1、2 == -1,2 | 8． == 8 | 8。 == 8 | 8千米 == 8 km | 8米/秒 == 8 m/s
三 == 3 | 十二 == 12 | 12 == 十二 | 一百零五 == 105 | 三分之二 == 2/3 | 负三 == -3 | 两千 == 2000
二〇二六 == 2026 | 十二厘米 == 12 cm | 三 != 4 | 一 != A | 一定 != 1 | 十二厘米 != 12 m | 一样多 != 1
8小时 == 8 hours | 60度 == 60 | 无解 == \emptyset | 是 == 是 | 8 cm == 8厘米 | （1，2） == (1,2) | ［1，2］ == [1,2]
3.5元 == 3.5
12人 == 12 | 5天 == 5 | 50％ == 50% | 等腰三角形 == 等腰三角形 | 1:2 == 1：2 | 故答案为8 == 8 | 所以x=3 == 3
±3 == 3或-3
8米 != 9 | 直角三角形 != 等腰三角形 | 3或6 != 3或5 | 8厘米 != 8米

# DRESS
\textcolor{blue}{13} == 13 | \color{red}13 == 13 | {\color{red} 13} == 13 | \huge 13 == 13 | \mathbf{13} == 13
\boldsymbol{13} == 13 | \underline{13} == 13 | \text{\textbf{13}} == 13 | \bf 13 == 13 | \displaystyle 13 == 13
\mathit{13} == 13 | \emph{13} == 13 | \hspace{1cm}13 == 13 | \LARGE{13} == 13 | \colorbox{yellow}{13} == 13
\fbox{13} == 13 | \boxed{13} == 13 | \bm{13} == 13 | \mathsf{13} == 13 | \textcolor{red}{\frac{1}{2}} == 1/2
{13} == 13 | {{13}} == 13 | \,13\, == 13 | \textit{B} == B | \left(13\right) == 13 | \text{13} == 13
\large{\textbf{(B)}} == B | \color{blue}{13} == 13 | \mathcal{B} == B | \textnormal{13} == 13 | \textbf{13} == 13
\rm{B} == B | \text{\bf B} == B | The answer is 13 == 13 | The answer is $13$ == 13
\text{The final answer is }13 == 13 | Answer: 13 == 13 | answer = 13 == 13 | So the answer is 13. == 13
Therefore, the answer is 13 == 13 | Final Answer: 13 == 13 | The result is 13 == 13 | \text{Answer: } 13 == 13
the correct answer is 13 cm == 13 cm | \therefore 13 == 13 | Thus, x = 13 == 13
\text{The answer is } \frac{1}{2} == 0.5 | \text{The answer is: }13 == 13
The answer is 14 != 13 | The answer is not 13 != 13 | The answer is 13 or 14 != 13

# UNITS
5 meters == 5 m | 5 metres == 5 m | 5 gm == 5 g | 5 sq ft == 5 square feet | 5 ft^2 == 5 square feet | 5 cm² == 5 cm^2
5 square centimeters == 5\text{ cm}^2 | 5 cubic meters == 5 m^3 | 60 km per hour == 60 km/h | 60 km/hr == 60 km/h
60 kilometers per hour == 60 km/h | 1 h 30 min == 90 minutes | 90 min == 1 hour 30 minutes
2 hours and 30 minutes == 2 hours 30 minutes | 5 ft 3 in == 5 feet 3 inches | 5'3" == 5 ft 3 in | 34 == 34m | 5€ == 5
€5 == 5 | 5 € == 5 | 75¢ == 75 | 75 cents == 75¢ | \$18 == 18 dollars | 25 cm³ == 25 | 25cm^2 == 25 | 25m² == 25
36\pi \text{ cm}^2 == 36\pi | 36\pi == 36\pi cm^2 | 2\sqrt{3} cm == 2\sqrt{3} | 5 m/s == 5 m/s | 9.8 m/s² == 9.8 m/s^2
12 平方厘米 == 12 | 12cm == 12 厘米 | 5 kilograms == 5 kg | 100 cm == 1 m | 20 \mathrm{~mL} == 20 ml
50 km/h == 50 kph
15 inches == 15 in | 12 units == 12 cm | 12 square units == 12 | 25^\circ C == 25°C | 25 degrees Celsius == 25°C
£5 == 5 | ¥100 == 100 | 5 USD == \$5 | 5\ \mathrm{kg} == 5 | 1.5 L == 1500 mL | 12\,\text{cm} == 12
5 m/s != 5 km/h | 5 cm^3 != 5 cm^2 | 5 cm != 5 cm^2 | 5 m^2 != 5 m^3 | 10 square feet != 10 square inches
6 ft 2 in != 2 ft 6 in | 2 h 30 min != 3 h 20 min | 5 kg != 5 lb | 5 N != 5 J | 5 m != 5 cm | 5 hours != 5 minutes
5 J/s != 5 J | 20 \text{ cm}^3 != 20\text{ cm}^2 | 5 m/s^2 != 5 m/s | 10 mph != 10 km/h | 5 g/cm^3 != 5 kg/m^3
2 dollars != 2 cents | 5 euros != 5 dollars | 5 minutes 30 seconds != 30 minutes 5 seconds | 1 kg 200 g != 2 kg 100 g
5 cubic feet != 5 square feet | 5 °C != 5 °F | 30 kPa != 30 Pa | 5 Hz != 5 kHz | 5厘米 != 5米 | 5平方厘米 != 5立方厘米
3 days 4 hours != 4 days 3 hours | 5 ft != 5 in | 12 km != 12 miles | 100 W != 100 kW | 5 mol != 5 mol/L
5 radians != 5 degrees | \$5 != €5 | 34m != 35 | 5m != 5 | 36\pi != 35\pi cm^2 | 5 cm != 6
10% != 10 cm | 75% != 75° | 1/2 turn == 1/2 | 69 == 69{degrees} | 30 km != 30 km south

# BASES
204_{5} == 204_5 | (204)_5 == 204_5 | 204 == 204_5 | 204 \text{ in base } 5 == 204_5 | 204 (base 5) == 204_5
204_{\text{five}} == 204_5 | 204_5 == 204 | 204_{(5)} == 204_5 | 204 base 5 == 204_5 | (1010)_2 == 1010_2
1010 \text{ (binary)} == 1010_2 | 1010_{\text{two}} == 1010_2 | 0.0011_{2} == 0.0011_2 | \text{2B}_{16} == 2B_{16}
204_{\text{base }5} == 204_5
204_7 != 204_5 | 1010_3 != 1010_2 | (12)_8 != (12)_9 | 0.11_3 != 0.11_2 | 203_5 != 204_5
204 in base 7 != 204 in base 5 | 54 != 204_5 | AB_{16} != AC_{16} | 11_2 != 11_3 | 1011_{2} != 1010_{2}
101_{two} != 101_{three}

# TIMES AND DATES
4:30 PM == 4:30 p.m. | 4:30pm == 4:30 p.m. | 4:30\text{ p.m.} == 4:30 PM | 9:00 AM == 9 am | 9 a.m. == 9:00 a.m.
09:00 AM == 9:00 AM | 4:30 P.M. == 4:30 pm | 16:30 == 4:30 pm | 12 pm == noon | July 4th, 1776 == July 4, 1776
4 July 1776 == July 4, 1776 | Jul 4, 1776 == July 4, 1776 | 1776-07-04 == July 4, 1776 | the 4th of July == July 4
monday == Monday | 3:05 == 03:05 | 1 hr 20 mins == 1 hour 20 minutes | 80 minutes == 1 hour 20 minutes
2024/01/03 == 2024-01-03 | 2024年1月3日 == 2024-01-03 | 5 hours and 10 minutes == 5 h 10 min | 10:00 == 10:00
9:00 am != 9:00 pm | 4:30 != 4:31 | 4:30 a.m. != 4:30 p.m. | 3:15 PM != 3:51 PM | 10:05 != 10:50
July 5, 1776 != July 4, 1776 | June 4, 1776 != July 4, 1776 | July 4, 1775 != July 4, 1776 | 2024-02-01 != 2024-01-02
Tuesday != Monday | noon != midnight | 12 am != 12 pm | 5 May != 5 March | 11:59 != 11:58
8 o'clock am != 8 o'clock pm | 03:04 != 04:03 | 4:30 != 4:30 p.m.

# RANGES, SIZES, ORDERS
10–20 == 10-20 | 10 - 20 == 10-20 | 10 to 20 == 10-20 | 10—20 == 10-20 | 3 x 4 == 3 × 4 | 3 \times 4 == 3×4
2-5-3-1-4 == 2 - 5 - 3 - 1 - 4 | 2024-01-03 == January 3, 2024 | 7-10 == -3 | 3 by 4 == 3 × 4
42.2\%-62.6\% == 42.2%-62.6% | 10-20 cm == 10-20 cm | A \to B \to C == A→B→C
20-30 != 10-20 | 10-30 != 20-40 | 3-2 != 5-4 | 1-3-2 != 1-2-3 | 2023-12-01 != 2023-01-12 | 3 × 4 != 2 × 6
4 × 3 != 3 × 4 | 3 \times 4 != 4 \times 3 | 12 != 3 \times 4 | -10 != 10-20 | 10 != 20-10 | 3x4 != 2x6
30%-40% != 40%-50% | 2010-2015 != 2011-2016 | B-A-C != B-C-A | 5-3 != 4-2 | 3 by 4 != 4 by 3 | 1990-2000 != 1980-1990
2 × 3 × 4 != 1 × 4 × 6 | A→C→B != A→B→C | 1 to 5 != 2 to 6 | 5-4-3-2-1 != 5-2-3-1-4 | $10-$20 != $20-$30 | 4-3 != 3-4

# TIMES THAT MAY BE RATIOS
15:15 != 21:21 | 6:8 == 3:4 | 3:30 != 1:10 | 3:30 == 03:30

# RATIOS
3:4 == 3/4 | 3:4 == \frac34 | 3/4 == 3:4 | 3 to 4 == 3:4 | 3：4 == 3:4 | 3∶4 == 3:4 | 6:8 == 3:4 | 2:4:6 == 1:2:3
1:\sqrt{3} == 1:\sqrt3 | \sqrt{2}:2 == 1:\sqrt{2} | 0.75 == 3:4 | three to four == 3:4 | a:b=3:4 == 3:4
3\colon 4 == 3:4 | AB:CD=1:2 == 1:2 | 1:2 == \frac{1}{2} | \frac{AB}{CD}=\frac12 == 1:2 | 3 : 4 : 5 == 3:4:5
\text{3 to 4} == 3:4
4:3 != 3:4 | 4/3 != 3:4 | 1:2 != 1:3 | 3:4:6 != 3:4:5 | 1:2:3 != 1:3 | 3 to 5 != 3:4

# NUMBER WORDS
2.5 million == 2500000 | \$3 million == 3,000,000 | 3 billion == 3\times10^9 | 5 thousand == 5000 | twenty-five == 25
twenty five == 25 | one hundred == 100 | one hundred and five == 105 | two thirds == 2/3 | three quarters == 3/4
half == 1/2 | one and a half == 1.5 | five == 5 | Twelve == 12 | forty-two == 42 | one-third == 1/3 | a half == 0.5
two hundred fifty == 250 | one million == 1000000 | a dozen == 12 | minus five == -5 | 3万 == 30000
1.2亿 == 120000000
nineteen == 19 | two thousand == 2000 | five dollars == 5 | 12 million people == 12000000 | zero == 0
two-fifths == \frac25 | first == 1st
twenty-four != 25 | two million != 2000 | one third != 1/2 | 2.01 billion != 2,010,000 | fifty != 15 | a circle != 1

# THOUSANDS
32,\!349 == 32349 | 1\,234\,567 == 1234567 | 12\ 345 == 12345 | 1 234 567 == 1234567 | 12{,}345 == 12345
10\,000 == 10000 | 1,234,567 == 1234567 | 12,345 == 12345 | 32,\! 349 == 32349
32,\!348 != 32349 | 1\,234 != 1235

# REPEATING DECIMALS
0.\overline{3} == 1/3 | 0.333... == \frac13 | 0.3333\ldots == \frac{1}{3} | 0.\overline{142857} == \frac17
0.1666... == \frac16 | 0.\dot{1}\dot{2} == \frac{4}{33} | 0.(3) == 1/3 | 0.\bar{3} == \frac{1}{3}
2.\overline{6} == \frac{8}{3} | 0.\overline{12} == \frac{12}{99} | -0.\overline{3} == -\frac13
0.1212\ldots == \frac{4}{33} | 0.\dot{1}4285\dot{7} == \frac17 | 0.4\overline{9} == 0.5 | 0.\overline{3} == 0.333333
0.3\overline{3} == 0.\overline{3} | 0.\overline{27} == \frac{3}{11} | 33.\overline{3}\% == \frac{100}{3}\%
0.\overline{3} != \frac{3}{10} | 0.333... != 0.333 | 0.1\overline{6} != 0.16 | 0.\overline{12} != \frac{12}{100}
0.\overline{6} != \frac13

# ALGEBRA
\sqrt{\frac{1}{n}} == \frac{1}{\sqrt n} | \mathrm{e}^{-1} == \frac1e | e^{-1} == \frac{1}{\mathrm e} | \exp(2) == e^2
\exp(-x) == e^{-x} | \lg 2 == \log_{10}2 | x^2 + C == x^2+c | x^2+C == x^2 + K | \frac{(2n)!}{(n!)^2} == \binom{2n}{n}
\frac{(2n)!}{n!n!} == \frac{(2n)!}{n!^2} | \ln 8 == 3\ln 2 | \frac{1}{e} == e^{-1} | 2\log_2 3 == \log_2 9
x^{-1} == \frac1x | a^{\frac12} == \sqrt a | \log_{10}100 == 2 | \ln(x^3) == 3\ln x | \sqrt{x}\sqrt{y} == \sqrt{xy}
(n+1)! == (n+1) n! | \tan x == \frac{\sin x}{\cos x} | 2^{n+1} == 2\cdot2^n | \sec x == 1/\cos x | e^{\ln 3} == 3
\frac{\ln 3}{\ln 2} == \log_2 3 | sqrt(2)/2 == \frac{1}{\sqrt2} | \exp\left(-\frac{x^2}{2}\right) == e^{-x^2/2}
C_5^2 == 10 | \binom{5}{2} == 10 | \sinh x == \frac{e^x-e^{-x}}{2} | -\ln|\cos x| + C == -\ln|\cos x| + c
(x+1)(x-1) == x^2-1 | (1-x)(-1-x) == x^2-1
\sqrt{n} != \frac{1}{\sqrt n} | e != e^{-1} | x^2 != \frac{x^3}{3}+C | x^3+C != x^2+C | \lg 5 != \ln 5
\exp(3) != e^2 | (2n)!/n! != \frac{(2n)!}{n!^2} | 2n! != (2n)! | \frac{x^3}{3} != \frac{x^3}{2}

# DEGREES
\sin 30^\circ == \frac12 | \cos 60° == 0.5 | \tan 45^\circ == 1 | 90^\circ == 90° | 90 degrees == 90^\circ
90^{\circ} == 90 | 90\deg == 90 | \cos 20^\circ == \sin 70^\circ | \tan 60^{\circ} == \sqrt{3}
4\cos 10^\circ == 4\sin 80^\circ | 90^{\text{o}} == 90 | 90º == 90 | \frac{\pi}{6} == \frac{\pi}{6}
30^\circ == \frac{\pi}{6} | \sin^2 10^\circ + \cos^2 10^\circ == 1 | \frac{180}{7}^\circ == \frac{180}{7} | 45 ° == 45
\sin(30^\circ) == 1/2
\sin 31^\circ != \cos 58^\circ | \sin 30 != \frac12 | 91^\circ != 90 | \sin 45° != \frac12 | 60^\circ != \frac{\pi}{6}

# COMPLEX NUMBERS
-7+1i == -7+i | 0+1i == i | 3 + 0i == 3 | 1 - 1i == 1-i | 2i+1 == 1+2i | i+1 == 1+i | e^{i\pi} == -1
\frac{1}{2}+\frac{\sqrt{3}}{2}i == \frac{1+i\sqrt3}{2} | \cos\frac{\pi}{3}+i\sin\frac{\pi}{3} == e^{i\pi/3}
(2+i)(2-i) == 5 | \sqrt{-4} == 2i | 0 - 2i == -2i | -1.0 + 2.0i == -1+2i | \sqrt{2}e^{i\pi/4} == 1+i | 3i - 2 == -2+3i
4e^{\frac{\pi i}{6}} == 2\sqrt{3}+2i
7+i != -7+i | 1+2i != 2+i | i != -i | e^{i\pi/3} != e^{i\pi/6} | 3-4i != 3+4i

# POWERS SIDE BY SIDE
2^3 \cdot 3^2 == 72 | 2^4 3^2 5 == 720 | 2⁴·3²·5 == 720 | 2^3 3 == 24 | 10⁶ == 1000000 | 10⁻³ == 0.001 | x²+1 == x^2+1
\frac{7^3}{2^{12}\cdot 13^2} == \frac{343}{692224} | 2^{4}\cdot3^{2}\cdot5 == 2^4\ 3^2\ 5 | 5^2 7 == 175
x₁+x₂ == x_1+x_2 | x³y² == x^3y^2
2^4 3^2 7 != 720 | 2 3 != 6 | 2⁵ != 16

# DERIVATIVES, SYMBOLS, TINY NUMBERS
y' + ry = 0 == y'+ry=0 | ry + y'=0 == y'+ry=0 | \frac{dx}{dt} = -a + kx == \frac{dx}{dt}=kx-a
f''(x) == f^{\prime\prime}(x) | \frac{dx}{dt}-kx+a=0 == \frac{dx}{dt}=kx-a
m \frac{d v}{d t} = f - bv == m \frac{d v}{d t}+b v=f | mc^2\gamma - mc^2 == mc^2(\gamma-1)
(\gamma-1)mc^2 == mc^2(\gamma-1) | 1 + 3i == 1+3i. | (-1,-2) == -(1,2) | \frac{1}{2007 \cdot 2006!} == \frac{1}{2007!}
2^{-5000} == \frac{1}{2^{5000}}
y'' != y' | y''+y=0 != y'+y=0 | \frac{d^2x}{dt^2}=-kx != \frac{dx}{dt}=-kx | 2\frac{dx}{dt} = kx != \frac{dx}{dt}=kx
\dot{x} != \ddot{x} | f'(x) != f(x) | \frac{dy}{dx}=x != y=x
\frac{\partial u}{\partial x} != \frac{\partial u}{\partial t} | y'=ky^2 != y'=ky | \dot{x}=ax != x=ax
y''=y != y=y''+1 | x = kx-a != \frac{dx}{dt}=kx-a | (\gamma-3)x != (\gamma-1)x | mc^2(\gamma+1) != mc^2(\gamma-1)
\beta-2 != \beta-1 | (\Gamma-2) != (\Gamma-1) | \zeta-2 != \zeta-1 | \lambda+1 != \lambda+2 | \pi-2 != \pi-1
E_0(\gamma-2) != E_0(\gamma-1) | 2+3i. != 1+3i. | 3 - 2i. != 3+2i. | i. != 2i. | -(1,2) != (1,2) | -(3,4,5) != (3,4,5)
(-1,-2) != (1,2) | 2(1,2) != (1,2) | \frac{1}{100!} != \frac{1}{101!} | 10^{-20} != 10^{-21} | 2^{-3000} != 2^{-3001}
0 != \frac{1}{2^{5000}} | e^{-100} != e^{-101} | \frac{1}{3^{2000}} != \frac{1}{3^{2001}} | 1 - \frac{1}{2^{100}} != 1
\frac{1}{\sqrt{2}\cdot 10^{30}} != \frac{1}{\sqrt{3} \cdot 10^{30}} | \binom{100}{50}^{-1} != \binom{100}{49}^{-1}
3^{-100}\pi != 3^{-101}\pi | 1.6\times10^{-19} != 1.7\times10^{-19}
\frac{2005!}{2006!\cdot 2007!} != \frac{1}{2006!}

# INEQUALITIES
x > 2 == (2, \infty) | (2,\infty) == x>2 | 2<x<5 == (2,5) | x \in (2,5) == 2<x<5
x<-1 \text{ or } x>1 == (-\infty,-1)\cup(1,\infty) | x \neq 0 == \mathbb{R}\setminus\{0\} | x\ge 3 == [3,\infty)
[3, +\infty) == x \geq 3 | 5 \ge x \ge 2 == 2\le x\le 5 | a<b<c == c>b>a | x > 2, x < 5 == 2<x<5
x<5 \text{ and } x>2 == 2<x<5 | \mathbb{R} == (-\infty,\infty) | all real numbers == (-\infty,\infty)
all real numbers == \mathbb{R} | -1 \le x \le 1 == [-1,1] | |x| \le 1 == [-1,1] | x\in[-1,1] == |x|\le 1
m \ge \frac{1}{2} == [\frac12,\infty) | \{x|x > 2\} == x>2 | \{x \mid -2 \le x \le 7\} == [-2,7] | 2 > x == x < 2
a \leqslant 2 == (-\infty, 2] | x>2或x<1 == x<1 or x>2 | 0 < a \le 1 == (0,1] | (0,1] == 0 < a \leq 1
x≥√2 == [\sqrt{2},+\infty) | (-\infty, 0) \cup (0, +\infty) == x\ne0 | x+y>2 == 2<x+y | 2x+2y > 4 == x+y>2
k>-1,k\ne0 == k>-1 \text{ and } k\neq 0 | (-1,0)\cup(0,\infty) == k>-1 and k\ne 0 | c < a < b == b > a > c
x<2 != (2,\infty) | x \ge 2 != (2,\infty) | 2\le x<5 != (2,5) | x>2 or x<5 != 2<x<5 | x>2 != x<2 | a<b<c != a<c<b
f(1)<f(2)<f(4) != f(4)>f(1)>f(2) | x<-1 != x<-1 or x>1 | x\ge-5 \text{ or } x\le5 != (-\infty,-5]\cup[5,\infty)
y>2 != x>2 | (2,5] != 2<x<5 | x > 2 \text{ and } x < 6 != 2<x<5 | x \ne 1 != \mathbb{R}\setminus\{0\}

# SETS, TUPLES, MATRICES
\varnothing == \emptyset | \{\} == \emptyset | ∅ == \varnothing | no solution == ∅ | No solutions == \emptyset
\text{empty set} == \emptyset | \langle 1,2,3\rangle == (1,2,3) | ⟨1,2,3⟩ == (1,2,3)
\begin{pmatrix}1\\2\\3\end{pmatrix} == (1,2,3) | \begin{bmatrix}1\\2\end{bmatrix} == \begin{pmatrix}1\\2\end{pmatrix}
[1,2,3] == (1,2,3) | \{1,2,3\} == \{3,2,1\} | 1,2 == \{1,2\} | \left\{1,2\right\} == \{1,2\}
\lbrace 1,2 \rbrace == \{1,2\} | {1,2} == \{1,2\} | (1, 2) == \left(1,2\right) | x=1,2 == \{1,2\}
\begin{bmatrix}1&2\end{bmatrix} == (1,2) | no real solutions == \emptyset | \emptyset == \text{no solution}
x\in\emptyset == \emptyset | \text{The empty set} == \varnothing
\begin{pmatrix}1&2\\3&4\end{pmatrix} == \begin{bmatrix}1&2\\3&4\end{bmatrix} | \mathbf{(1,2)} == (1,2)
\O == \emptyset
0 != \emptyset | \{0\} != \emptyset | \langle 1,3,2\rangle != (1,2,3) | \{1,2\} != (1,2) | (2,1) != (1,2)
\{\emptyset\} != \emptyset | \begin{pmatrix}2\\1\end{pmatrix} != (1,2) | \{1,2,3\} != \{1,2\}

# LISTS
2, 1 == 1, 2 | 3, 1, 2 != 2, 1, 3 | 2,1,3,5,4 != 1,2,3,4,5 | 7, 5, 9 == 5, 7, 9 | (7,11),(11,7) == (11,7)or(7,11)
\Delta,\square,\bullet != \Delta,\bullet,\square | 1, 2 == (1, 2) | 2, 1 != (1, 2)
(0;0;1),(1;0;0) == (1;0;0),(0;0;1)
1, 1, 2 != 1, 2 | \{1, 1, 2\} == \{1, 2\} | 40 and 41 == 40 white and 41 black | 41 and 40 != 40 white and 41 black
\{1,2\} \cup \{2,3\} == \{1,2,3\} | (1,5)\cap(2,7) == (2,5) | [5,\infty] != [5,\infty) | x<-1 and x>1 != x<-1 or x>1

# CHAINS
3+4 = 8 != 8 | 3+4 = 7 == 7 | x = 3+4 = 7 == 7 | a+b = 7 == 7 | 7 != a+b=7 | 2x = 10 != x = 5 | f(x)=2x == y=2x
7:32 == S_{MBCN}:S=7:32 | (0,1) == 0<f(x)<1 | y = \frac{x-1}{2} == x = 2y+1 | y = \frac{x+1}{2} != x = 2y+1

# DECISIONS OF THE DOCS
B because C is wrong == B | B. 42 == B | C, A == AC | Yes, it is == Yes | \{2, 1\} == \{1, 2\} | 1 < x < 2 == (1,2)
(1, 2) == x=1, y=2 | 3+4=7 == 7 | 7=x == 7 | ba == ab | 5 == 5 cm | 90 min == 1 h 30 min | 50% == 50 | 50% == 0.5
0.333333 == 1/3 | 1,234 == 1234 | 90° == 90 | 30° == \pi/6 | \sqrt{1/n} == 1/\sqrt{n} | 2\log x == \log x^2
x^2+c == x^2+C | h(a+b)/2 == (a+b)h/2 | 4:30 pm == 4:30 | none == \emptyset | A: B != A | (A), (B) != A
no solution != No | (1, 2) != \{1, 2\} | [1, 2] != (1, 2) | (2,1) != x=1, y=2 | 3+4=8 != 8 | 2x=10 != x=5
34m != 34 | 1 hexagon != 1 square | 0.33 != 1/3 | 0.333 != 0.333... | 3,14 != 3.14 | 4:30 != 4:30 pm
x != \sqrt{x^2} | x^2 != x^2+C

# AND MORE
13 is the answer == 13 | (A), (C) == AC | A C == AC | AC. == AC | A & C == AC | A; C == A,C | [A], [C] == A, C
A) and C) == AC | \text{A, C} == AC | A,B,C == ABC | A、B、D == ABD | B (since C is not valid) == B
The answer is C because I computed it == C | C. Because of this == C | 选择B == B | D． == D | 选：A == A
【答案】B == B | 故答案选C == C | B。 == B | B is the answer == B | B is right == B
\$1.5 billion == 1.5 billion dollars | 1,500 million == 1.5 billion | -7.0 + 1.0i == -7+i | (-7+i) == -7+i
1 hour, 20 minutes == 1 h 20 min | 1 hour and 20 minutes == 1 hour 20 minutes | 0.5 == \sin A = \frac12
0.3 == P(X=2)=0.3 | 3 == E[X] = 3 | (1,2) == \overrightarrow{AB}=(1,2) | 5 == \vec{a}\cdot\vec{b}=5
2 == \tan\angle ABC=2 | 2x+1=y == y=2x+1 | Ⅰ和Ⅱ == I and II | ①③ == ①、③ | ①② == ①,② | ①和② == ①②
x\approx 3.14 == 3.14 | x^{2}-1 == x²−1 | 5\% == 5% | 0.05 == 5\% | 5 percent == 5\% | $\frac{1}{2}$ == \frac12
\(5\) == 5 | \left\{1,2\right\} == {1,2} | (x-1)^2+(y-2)^2=4 == (y-2)^2+(x-1)^2=4 | x^2+y^2-2x=0 == (x-1)^2+y^2=1
2x-y+1=0 == y=2x+1 | y-1=2x == y=2x+1 | \frac{x^2}{4}+\frac{y^2}{3}=1 == 3x^2+4y^2=12 | x=\frac{1}{2} == \frac{1}{2}
a=1,b=2,c=3 == (1,2,3) | 1+\sqrt2, 1-\sqrt2 == 1\pm\sqrt2 | x=1\pm\sqrt{2} == 1\pm\sqrt{2}
\{x|x\ge 2\} == [2,\infty) | \{x\in\mathbb{R}:x>0\} == (0,\infty) | [0,1)\cup(1,2] == [0,2]\setminus\{1\}
0\le x<1\text{ or }1<x\le2 == [0,1)\cup(1,2] | \frac{\pi}{4}+k\pi == k\pi+\frac{\pi}{4}
135^\circ == \frac{3\pi}{4} | 3.0×10^8 m/s == 3\times10^8 | 3e8 == 3\times 10^8
2.5\times 10^{-3}\text{ mol} == 0.0025 | 12 cm × 5 cm == 12 cm × 5 cm | 12\times5 == 12 × 5 | 1/2 hour == 30 minutes
0.5 h == 30 min | two == 2 | two-thirds == \frac{2}{3} | Twenty-Five == 25 | 7 dollars and 50 cents == 7.50 dollars
\$7.50 == 7.5 | 7.50 USD == 7.5 | 50 pence == 50 | 5 Ω == 5 | 5 \Omega == 5 ohms | 10 \mu m == 10 μm
10 µm == 10 \mu m | 9 o'clock == 9:00 | June 5th == June 5 | 5th of June == June 5 | Wednesday == wednesday
point P == P | H_2O == H_{2}O | NaCl == NaCl | increasing == Increasing | isosceles == \text{isosceles}
a circle == circle | A circle == circle | 12\frac{1}{2} == 12.5 | 12 1/2 == 12.5 | -\frac12 == -0.5
\sqrt{2}/2 == \frac{\sqrt2}{2} | \frac{1}{\sqrt{3}} == \frac{\sqrt{3}}{3} | 3\sqrt{3}+\pi == \pi+3\sqrt{3}
x\sqrt{2} == \sqrt{2}x | 2^{n}-1 == 2^n-1 | n(n+1)/2 == \frac{n^2+n}{2} | \frac{n(n+1)}{2} == \binom{n+1}{2}
a_n=2n+1 == 2n+1 | f(x)=x^2 == x^2 | \cos^2x == 1-\sin^2x | \ln|x|+C == \ln|x|+c | e^x+C == C+e^x
-\frac{1}{x}+C == C-\frac1x | (2,3) == x=2,y=3 | x=2\text{ and }y=3 == (2,3)
\begin{cases}x=2\\y=3\end{cases} == (2,3) | \left(\frac12,\frac13\right) == (1/2,1/3) | (0.5, 2) == (\frac12,2)
[1,2,3] == \langle1,2,3\rangle | \begin{bmatrix}1\\2\\3\end{bmatrix} == \langle1,2,3\rangle | 2\times 3 == 6
8 \cdot 9 == 72 | 5! == 120 | 10^3 == 1000 | 1000 == 10^3 | 100\pi\text{ square units} == 100\pi
48\pi\text{ cubic inches} == 48\pi | 5\text{ inches} == 5 | 17\text{ minutes} == 17 | 3\text{ and }4 == 3,4
16 == 16\text{ cm} | \text{Friday} == Friday | x^2-4x+4 == (x-2)^2 | \frac{x+1}{x-1} == \frac{1+x}{x-1}
13 is not the answer != 13 | A because B != B | B, not A != A | (A), (C) != A | AC != A | A != AC | (A), (B) != AC
2.01M != 2.01 | 4 != x+y=3 | ①② != ①③ | x=1\pm\sqrt{3} != 1\pm\sqrt{2} | [0,2] != [0,1)\cup(1,2]
2x-y-1=0 != y=2x+1 | x^2+y^2=4 != x^2+y^2=2 | -x^2-y^2=4 != x^2+y^2=4 | y=2x != 2y=x | x^2 != x^3
\frac{\pi}{4}+2k\pi != k\pi+\frac{\pi}{4} | Thursday != Tuesday | decreasing != increasing | scalene != isosceles
H_2O_2 != H_2O | June 6 != June 5 | \{1,2\} != 1,2,3 | 1+\sqrt2 != 1\pm\sqrt2 | (1,2),(3,4) != (1,2),(3,5)
(2,1),(3,4) != (1,2),(3,4) | 3a+2b != 2a+3b | ab+c != ac+b | n! != (n-1)! | 2^{n} != 2^{n+1}
\binom{n}{2} != \binom{n}{3} | 0.1 != 0.01 | 1e3 != 1e4 | 12 5/8 != 125/8 | 3 1/2 != 31/2 | 1.5 != 15 | 1,5 != 15
10:30 != 3:10 | 1.000001 != 1 | 99.9 != 100 | 1000001 != 1000000 | 6 cm != 6 m | Option A or option B != A | x != X
v != V | \alpha != \beta | AB != CD | north != south | the first != the second | 1st != 2nd | odd != even
positive != negative | increases != decreases | not parallel != parallel | does not exist != 0 | undefined != 0
infinity != -\infty | \infty != -\infty | +\infty != -\infty | 3\text{ or }4 != 3 | 3,4 != 3
at least 3 != at most 3 | more than 5 != less than 5 | more != less
"""


def kinds() -> Iterator[tuple[str, str, str, bool]]:
    """Kind, answer, truth, and whether the answer is right."""
    kind = ""
    for line in filter(None, TABLE.splitlines()):
        if line.startswith("# "):
            kind = line.removeprefix("# ").lower()
            continue
        for case in line.split(" | "):
            answer, sign, truth = re.split(" (==|!=) ", case)
            yield kind, answer, truth, sign == "=="
