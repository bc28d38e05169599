r"""Options, names, words and their dress: answers that are right (==) and wrong (!=) for a truth."""

from __future__ import annotations

import pytest
from kinds_table import cases

from spark_verl.reward import verify_answer

TABLES = r"""
# OPTIONS
A: because it is right == A | (A) == A | A。 == A | \textbf{A} == A | $A$ == A | {A} == A | A) 12 == A | 选项B == B
B选项 == B | 应选B == B | 正确答案是B == B | 答案：(B) == B | 选C == C | 故选C。 == C | 故答案为：B == B | The answer is (C) == C
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
8厘米 == 8 | 8平方厘米 == 8 | 8元 == 8 | 8度 == 8° | 8个 == 8 | 3或5 == 3 or 5 | 3和5 == 3,5 | 答案是8 == 8 | 答案为8 == 8 | 答案：8 == 8
x=3或x=5 == x=3,5 | ８ == 8 | 1，2，3 == 1,2,3 | -1、2 == -1,2 | 8． == 8 | 8。 == 8 | 8千米 == 8 km | 8米/秒 == 8 m/s
8小时 == 8 hours | 60度 == 60 | 无解 == \emptyset | 是 == 是 | 8 cm == 8厘米 | （1，2） == (1,2) | ［1，2］ == [1,2] | 3.5元 == 3.5
12人 == 12 | 5天 == 5 | 50％ == 50% | 等腰三角形 == 等腰三角形 | 1:2 == 1：2 | 故答案为8 == 8 | 所以x=3 == 3 | ±3 == 3或-3
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
"""


@pytest.mark.parametrize(("answer", "truth", "right"), cases(TABLES))
def test_kinds(answer: str, truth: str, right: bool) -> None:
    assert verify_answer(answer, [truth]).correct is right
