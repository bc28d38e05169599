r"""Numbers with their units and bases, ratios, ranges, times: answers that are right (==) and wrong (!=) for a truth."""

from __future__ import annotations

import pytest
from kinds_table import cases

from spark_verl.reward import verify_answer

TABLES = r"""
# UNITS
5 meters == 5 m | 5 metres == 5 m | 5 gm == 5 g | 5 sq ft == 5 square feet | 5 ft^2 == 5 square feet | 5 cm² == 5 cm^2
5 square centimeters == 5\text{ cm}^2 | 5 cubic meters == 5 m^3 | 60 km per hour == 60 km/h | 60 km/hr == 60 km/h
60 kilometers per hour == 60 km/h | 1 h 30 min == 90 minutes | 90 min == 1 hour 30 minutes
2 hours and 30 minutes == 2 hours 30 minutes | 5 ft 3 in == 5 feet 3 inches | 5'3" == 5 ft 3 in | 34 == 34m | 5€ == 5
€5 == 5 | 5 € == 5 | 75¢ == 75 | 75 cents == 75¢ | \$18 == 18 dollars | 25 cm³ == 25 | 25cm^2 == 25 | 25m² == 25
36\pi \text{ cm}^2 == 36\pi | 36\pi == 36\pi cm^2 | 2\sqrt{3} cm == 2\sqrt{3} | 5 m/s == 5 m/s | 9.8 m/s² == 9.8 m/s^2
12 平方厘米 == 12 | 12cm == 12 厘米 | 5 kilograms == 5 kg | 100 cm == 1 m | 20 \mathrm{~mL} == 20 ml | 50 km/h == 50 kph
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
two hundred fifty == 250 | one million == 1000000 | a dozen == 12 | minus five == -5 | 3万 == 30000 | 1.2亿 == 120000000
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
"""


@pytest.mark.parametrize(("answer", "truth", "right"), cases(TABLES))
def test_kinds(answer: str, truth: str, right: bool) -> None:
    assert verify_answer(answer, [truth]).correct is right
