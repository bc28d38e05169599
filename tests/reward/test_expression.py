"""The short cut for algebra: certain when it says so, silent otherwise."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_verl.reward import verify
from spark_verl.reward.points import same_function
from spark_verl.reward.text import canonical

SAME = [
    (r"2\sqrt{3}", r"\sqrt{12}", "a factor under the root"),
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}", "a rationalised denominator"),
    (r"\sqrt[3]{16}", r"2\sqrt[3]{2}", "a cube root"),
    (r"\frac{8\pi}{3}", r"\frac{8}{3}\pi", "pi in the numerator"),
    (r"\pi/2", r"\frac{\pi}{2}", "a slash"),
    (r"2π", r"2\pi", "pi as a letter"),
    ("x^2+11x+28", "(x+4)(x+7)", "factors multiplied out"),
    ("x(x+1)", "x^2 + x", "a letter times a bracket"),
    (r"\left(x+1\right)^{2}", "x^2+2x+1", "sized brackets"),
    ("-(a-b)", "b-a", "a sign taken in"),
    ("-2^2", "-4", "a power binds tighter than a sign"),
    ("(-2)^2", "4", "unless there are brackets"),
    (r"\sin(x)", r"\sin x", "a function of one letter"),
    (r"\sin(x)\cos(x)", r"\frac{\sin(2x)}{2}", "a double angle"),
    (r"\frac{x^2-1}{x-1}", "x+1", "a cancelled factor"),
    (r"3 \cdot 4 x", "12x", "a dot"),
    (r"\dfrac{1}{2}x", r"\frac{x}{2}", "a display fraction"),
    ("2e", "e+e", "e is a number"),
    ("2i", "i+i", "i is imaginary"),
    ("(1+i)^2", "2i", "and its square is -1"),
    (r"e^{i\pi/3}", r"\frac{1+i\sqrt{3}}{2}", "polar and cartesian"),
    ("x^{1/2}", r"\sqrt{x}", "a root as a power"),
    ("2^{x+1}", "2*2^x", "a variable exponent"),
    ("ab", "ba", "a product of letters"),
    (r"\sin 2x", r"\sin(2x)", "a function of a product"),
    (r"\sin^2(x)", r"1-\cos^2 x", "a power of a function"),
    (r"\log(x^2)", r"2\log x", "a logarithm, to whatever base"),
    (r"\log_{2} 8", "3", "a logarithm with its base"),
    (r"\lg 5", r"\log_{10} 5", "the decimal logarithm"),
    ("2^2^3", "256", "a tower of powers"),
    (r"\sqrt{1/n}", r"\frac{1}{\sqrt{n}}", "where roots are real"),
    (r"\frac{(2n)!}{n!^2}", r"\binom{2n}{n}", "factorials of letters"),
    (r"\sin 15^\circ", r"\frac{\sqrt{6}-\sqrt{2}}{4}", "degrees"),
    (r"\frac{7^3}{2^{12} 13^2}", r"\frac{343}{692224}", "powers side by side"),
    (r"|x-1|", r"|1-x|", "absolute values"),
    (r"\frac{dx}{dt}+2", r"2+\frac{dx}{dt}", "a derivative is one symbol"),
    ("f(x+1)-1", "f(1+x)-1", "a function that is not known"),
    ("h(a+b)/2", "(a+b)h/2", "a height is a factor"),
    (r"\sqrt[3]{-8}", "-2", "a cube root of a negative number"),
    (r"\arctan 1", r"\tan^{-1}(1)", "an inverse function"),
]
DIFFERENT = [
    (r"2\sqrt{3}", r"\sqrt{13}", "another number under the root"),
    ("x^2+11x+29", "(x+4)(x+7)", "one off"),
    ("x+1", "y+1", "another letter"),
    ("x+1", "1", "a letter too many"),
    (r"\sin(x)", r"\cos(x)", "another function"),
    (r"\frac{8\pi}{3}", r"\frac{7\pi}{3}", "another multiple"),
    (r"\sqrt{2}", r"\sqrt[3]{2}", "another root"),
    ("-(a-b)", "a-b", "a sign lost"),
    (r"1.414", r"\sqrt{2}", "an approximation"),
    (r"\sqrt{x^2}", "x", "true for positive numbers only"),
    ("x", "|x|", "the same"),
    ("12345678901", "12345678902", "exact where there are only numbers"),
    (r"\frac{1}{2006!}", r"\frac{1}{2004!}", "tiny numbers"),
    (r"\frac{1}{2^{5000}}", "0", "tiny is not zero"),
    ("y''+y", "y'+y", "derivatives"),
    (r"\gamma-2", r"\gamma-1", "a Greek letter is a variable"),
    ("x_{1}+x_{2}", "2x_{1}", "indices"),
    ("f(2)-f(1)", "f(1)", "arguments of a function that is not known"),
    (r"\frac{1}{x-x+3}", r"\frac{1}{4}", "constants"),
]
SILENT = [
    (r"2\frac{1}{3}x", r"\frac{7}{3}x", "a mixed number or a product"),
    ("2 3", "6", "numbers side by side"),
    ("x3", "3x", "a number behind a letter"),
    (r"\sin(x)^2", r"(\sin(x))^2", "read differently by different people"),
    (r"\sin x/2", r"\sin(x/2)", "nor here"),
    (r"\log(x)", r"\ln(x)", "a logarithm to any base"),
    ("n!!", "n!", "a double factorial"),
    ("2^{99999999}", "2^{99999998}", "numbers of millions of digits"),
    (r"\frac{1}{x-x}", "1", "a division by zero"),
    (r"\sqrt{-2}", "1", "no real number"),
    ("(x+1", "x+1", "a bracket that never closes"),
    ("x+", "x", "an operator without operand"),
    ("", "x", "nothing"),
    ("x=1", "1", "an equation"),
    ("9" * 301, "9" * 301, "a long text"),
    ("(" * 60 + "x" + ")" * 60, "x", "deep nesting"),
    (r"\int x", "x", "an integral"),
    ("the sum", "x", "words"),
]


@pytest.mark.parametrize(("a", "b", "why"), SAME, ids=[case[2] for case in SAME])
def test_same(a, b, why):
    a, b = canonical(a), canonical(b)
    assert same_function(a, b) is True
    assert same_function(b, a) is True


@pytest.mark.parametrize(("a", "b", "why"), DIFFERENT, ids=[case[2] for case in DIFFERENT])
def test_different(a, b, why):
    assert same_function(canonical(a), canonical(b)) is False


@pytest.mark.parametrize(("a", "b", "why"), SILENT, ids=[case[2] for case in SILENT])
def test_silent(a, b, why):
    assert same_function(a, b) is None


@st.composite
def expressions(draw, depth=3):
    """(LaTeX, exact value as a function of x and y)."""
    kind = draw(st.sampled_from(["number", "x", "y"] if depth == 0 else ["number", "x", "y", "+", "-", "*", "/", "^"]))
    if kind == "number":
        n = draw(st.integers(0, 30))
        return str(n), lambda x, y: Fraction(n)
    if kind in "xy":
        return kind, (lambda x, y: x) if kind == "x" else (lambda x, y: y)
    left, f = draw(expressions(depth - 1))
    if kind == "^":
        n = draw(st.integers(0, 3))
        return f"({left})^{{{n}}}", lambda x, y: f(x, y) ** n
    right, g = draw(expressions(depth - 1))
    if kind == "/":
        return rf"\frac{{{left}}}{{{right}}}", lambda x, y: f(x, y) / g(x, y)
    combine = {"+": lambda p, q: p + q, "-": lambda p, q: p - q, "*": lambda p, q: p * q}[kind]
    symbol = {"*": r"\cdot "}.get(kind, kind)
    return f"({left}){symbol}({right})", lambda x, y: combine(f(x, y), g(x, y))


@settings(max_examples=300, deadline=None)
@given(expressions(), expressions())
def test_agrees_with_exact_arithmetic_wherever_it_speaks(one, other):
    said = same_function(one[0], other[0])
    if said is None:
        return
    points = [(Fraction(3, 7), Fraction(11, 5)), (Fraction(17, 3), Fraction(5, 9)), (Fraction(13, 11), Fraction(29, 7))]
    try:
        exact = all(one[1](x, y) == other[1](x, y) for x, y in points)
    except ZeroDivisionError:
        return
    assert said is exact


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet=r"0123456789xyπ+-*/^(){}[]\ .,=<>fracsqrtpi", max_size=60), st.text(max_size=30))
def test_never_raises(a, b):
    assert same_function(a, b) in (True, False, None)
    assert same_function(b, a) in (True, False, None)


@pytest.mark.parametrize(
    ("answer", "truth", "correct"),
    [
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{bmatrix}1&2\\3&4\end{bmatrix}", True),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 5 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", False),
        (r"\begin{pmatrix} \frac{2}{4} \\ 3 \end{pmatrix}", r"\begin{pmatrix} 0.5 \\ 3 \end{pmatrix}", True),
        ("2:1", "1:2", False),
        (r"\{4, 1\}", r"\{1, 4, 12\}", False),
        (r"\{1, 1, 2\}", r"\{1, 2\}", True),
        ("[1, 2)", "(1, 2]", False),
        ("y=4x+5", "y = 4x + 4", False),
        ("y=5+4x", "y = 4x + 5", True),
    ],
)
def test_in_the_verifier(answer, truth, correct):
    assert verify(f"\\boxed{{{answer}}}", truth).correct is correct
