r"""Expressions, equations, inequalities, sets: answers that are right (==) and wrong (!=) for a truth."""

from __future__ import annotations

import pytest
from kinds_table import cases

from spark_verl.reward import verify_answer

TABLES = r"""
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
\Delta,\square,\bullet != \Delta,\bullet,\square | 1, 2 == (1, 2) | 2, 1 != (1, 2) | (0;0;1),(1;0;0) == (1;0;0),(0;0;1)
1, 1, 2 != 1, 2 | \{1, 1, 2\} == \{1, 2\} | 40 and 41 == 40 white and 41 black | 41 and 40 != 40 white and 41 black
\{1,2\} \cup \{2,3\} == \{1,2,3\} | (1,5)\cap(2,7) == (2,5) | [5,\infty] != [5,\infty) | x<-1 and x>1 != x<-1 or x>1

# CHAINS
3+4 = 8 != 8 | 3+4 = 7 == 7 | x = 3+4 = 7 == 7 | a+b = 7 == 7 | 7 != a+b=7 | 2x = 10 != x = 5 | f(x)=2x == y=2x
7:32 == S_{MBCN}:S=7:32 | (0,1) == 0<f(x)<1 | y = \frac{x-1}{2} == x = 2y+1 | y = \frac{x+1}{2} != x = 2y+1
"""


@pytest.mark.parametrize(("answer", "truth", "right"), cases(TABLES))
def test_kinds(answer: str, truth: str, right: bool) -> None:
    assert verify_answer(answer, [truth]).correct is right
