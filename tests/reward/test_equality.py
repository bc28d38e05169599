r"""Tables: (answer, ground truth, correct, why). Decided without algebra, unless they stand in SYMBOLIC."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_verl.reward import verify
from spark_verl.reward.equality import compare
from spark_verl.reward.text import canonical

PLAIN_NUMBERS = [
    ("12", "12", True, "same"),
    ("12", "13", False, "other integer"),
    (" 12 ", "12", True, "spaces"),
    ("12.", "12", True, "full stop"),
    ("012", "12", True, "leading zero"),
    ("-7", "-7", True, "negative"),
    ("−7", "-7", True, "Unicode minus"),
    ("- 7", "-7", True, "space after the sign"),
    ("7", "-7", False, "sign matters"),
    ("+7", "7", True, "explicit plus"),
    ("１２", "12", True, "full-width digits"),
    ("1,234", "1234", True, "thousands separator"),
    ("1{,}234", "1234", True, "LaTeX thousands separator"),
    (r"1\,234", "1234", True, "thin space as a separator"),
    ("12 345 678", "12345678", True, "spaces as separators"),
    ("1,234,567.50", "1234567.5", True, "thousands and decimals"),
    ("1,23", "123", False, "a comma that separates no thousands"),
    ("3.0", "3", True, "decimal that is whole"),
    ("3.140", "3.14", True, "trailing zero"),
    (".5", "0.5", True, "no leading zero"),
    ("0.5", ".5", True, "no leading zero in the truth"),
    ("12345678901234567890", "12345678901234567891", False, "integers are compared exactly"),
    ("0.333333", "1/3", True, "correct rounding with six digits"),
    ("1/3", "0.333333", True, "the same the other way round"),
    ("0.33", "1/3", False, "two digits are an approximation"),
    ("0.666667", r"\frac{2}{3}", True, "rounded up"),
    ("0.666666", r"\frac{2}{3}", False, "cut off, not rounded"),
    ("0.30000000000000004", "0.3", True, "floating-point noise"),
    ("0.0000001", "0.0000002", False, "small numbers are not all zero"),
    ("3.14", "3.15", False, "other decimal"),
    ("1e3", "1000", True, "E notation"),
    (r"1.5 \times 10^3", "1500", True, "scientific"),
    (r"1.5\times10^{-3}", "0.0015", True, "negative power of ten"),
    ("1.5 × 10^3", "1500", True, "Unicode times"),
    ("1.5*10^3", "1500", True, "star"),
    ("1.5 x 10^3", "1500", True, "letter x as times"),
    (r"2 \cdot 10^{8}", "200000000", True, "cdot"),
    ("10^{6}", "1000000", True, "bare power of ten"),
    (r"1.5 \times 10^3", "15000", False, "other magnitude"),
    ("twelve", "12", True, "number word"),
    ("Two", "2", True, "number word, capital"),
    ("two", "3", False, "other number word"),
    ("approximately 12", "12", True, "hedge"),
    (r"\approx 12.5", "12.5", True, "approximately sign"),
    ("0", "0.0", True, "zero"),
    ("-0", "0", True, "negative zero"),
    ("1" * 5000, "1", False, "longer than any number"),
    ("1e9999", "5", False, "absurd exponent"),
]

FRACTIONS = [
    ("1/2", "0.5", True, "fraction and decimal"),
    (r"\frac{1}{2}", "1/2", True, "LaTeX and slash"),
    (r"\dfrac{1}{2}", r"\frac{1}{2}", True, "dfrac"),
    (r"\tfrac12", r"\frac{1}{2}", True, "tfrac without braces"),
    (r"\frac12", r"\frac{1}{2}", True, "no braces"),
    (r"\frac1{2}", r"\frac{1}{2}", True, "one pair of braces"),
    (r"\frac{2}{4}", r"\frac{1}{2}", True, "not reduced"),
    (r"\frac{-1}{2}", r"-\frac{1}{2}", True, "where the sign stands"),
    (r"\frac{1}{-2}", r"-\frac{1}{2}", True, "sign below"),
    (r"-\frac{1}{2}", r"\frac{1}{2}", False, "sign matters"),
    (r"1\frac{1}{2}", r"\frac{3}{2}", True, "mixed number"),
    ("1 1/2", "3/2", True, "mixed number, plain"),
    ("1 1/2", "11/2", False, "a space is not nothing"),
    (r"-1\frac12", "-1.5", True, "negative mixed number"),
    ("½", "0.5", True, "Unicode fraction"),
    ("1½", "1.5", True, "Unicode mixed number"),
    ("3/4", "4/3", False, "upside down"),
    (r"\frac{0.5}{2}", "0.25", True, "decimal inside"),
    ("6/2", "3", True, "whole"),
    ("1/0", "0", False, "division by zero"),
    (r"\frac{1}{0}", "0", False, "division by zero in LaTeX"),
]

PERCENT_UNITS = [
    ("50%", "50", True, "percent sign the truth leaves out"),
    ("50", "50%", True, "percent sign left out"),
    (r"50\%", "50%", True, "escaped"),
    ("50 percent", "50%", True, "in words"),
    ("0.5", "50%", True, "as a share"),
    ("50%", "0.5", True, "share and percent"),
    ("5%", "50%", False, "other percentage"),
    ("$18", "18", True, "dollar sign"),
    (r"\$18.00", "18", True, "escaped dollar sign"),
    ("18 dollars", "18", True, "currency in words"),
    ("€5", "5", True, "euro"),
    ("£1,250", "1250", True, "pound and thousands"),
    ("5 cm", "5", True, "unit the truth leaves out"),
    ("5", "5 cm", True, "unit left out"),
    (r"5\text{ cm}", "5 cm", True, "unit in text"),
    (r"5\,\mathrm{cm}", "5cm", True, "unit upright"),
    ("5 centimeters", "5 cm", True, "unit in words"),
    ("5 cm", "5 mm", False, "units differ"),
    ("5 apples", "5", True, "what is counted"),
    ("5 students", "5 children", False, "other things are counted"),
    ("6 apples", "5", False, "other count"),
    (r"12 \text{ cm}^2", "12", True, "square unit"),
    (r"9.8 \text{ m/s}^2", "9.8", True, "compound unit"),
    ("60 km/h", "60", True, "unit with a slash"),
    (r"45^\circ", "45", True, "degrees"),
    ("45°", r"45^{\circ}", True, "degree sign"),
    (r"45^{\circ}", "45 degrees", True, "degrees in words"),
    ("30°", "45°", False, "other angle"),
    ("25°C", "25", True, "temperature"),
    ("3x", "3", False, "a variable is no unit"),
    ("5e", "5", False, "a constant is no unit"),
]

ARITHMETIC = [
    ("3+4", "7", True, "sum"),
    (r"3 \times 4", "12", True, "product"),
    ("2^{10}", "1024", True, "power"),
    ("2^10", "1024", True, "power without braces reads as TeX or plain text"),
    ("(3+4)*2", "14", True, "brackets"),
    ("2(3+4)", "14", True, "implied product"),
    ("10/4", "2.5", True, "quotient"),
    ("5!", "120", True, "factorial"),
    (r"\frac{3 \times 4}{6}", "2", True, "arithmetic in a fraction"),
    ("7-10", "-3", True, "difference"),
    ("3 + 4 = 7", "7", True, "worked out"),
    ("3 + 4 = 8", "7", False, "worked out wrong"),
    ("12+", "12", False, "malformed"),
    ("*12", "12", False, "malformed start"),
    ("(12", "12", False, "unbalanced"),
    ("12)", "12", False, "stray bracket"),
    ("1a3", "13", False, "letters inside"),
    ("12 13", "12", False, "two numbers"),
    ("12, 13", "12", False, "a list for one number"),
    ("?", "12", False, "not a number"),
    ("12?", "12", False, "hedged with a question mark"),
    ("x", "12", False, "a variable"),
    ("4x + 5", "20", False, "a variable beside a space"),
    ("3 x 4", "12", True, "the letter x as times"),
    ("the sum", "12", False, "words"),
    ("1.2.3", "1.2", False, "two points"),
    ("9^9^9^9", "1", False, "no honest answer is that large"),
]

EQUATIONS = [
    ("x = 5", "5", True, "variable in front"),
    ("x=5", "x=5", True, "both"),
    ("5", "x = 5", True, "variable in the truth only"),
    ("x = 6", "x = 5", False, "same variable, other value"),
    ("y=5", "5", True, "any variable"),
    (r"\theta = 30^\circ", "30", True, "Greek variable"),
    ("f(2) = 7", "7", True, "function value"),
    ("AB = 7", "7", True, "length of a segment"),
    ("x_1 = 3", "3", True, "index"),
    ("x = 1/2", "0.5", True, "fraction behind the equals sign"),
    (r"x \in (1, 2)", "(1, 2)", True, "membership"),
]

CHOICES = [
    ("B", "B", True, "letter"),
    ("b", "B", True, "lower case"),
    ("(B)", "B", True, "brackets"),
    ("[B]", "B", True, "square brackets"),
    ("B.", "B", True, "full stop"),
    ("B)", "B", True, "closing bracket"),
    (r"\text{B}", "B", True, "text"),
    (r"\textbf{(B)}", "B", True, "bold"),
    (r"\mathrm{B}", "B", True, "upright"),
    ("**B**", "B", True, "markdown"),
    ("B. 42", "B", True, "letter and option text"),
    ("(B) 42", "B", True, "bracketed letter and option text"),
    ("B: 42", "B", True, "colon"),
    ("Option B", "B", True, "the word option"),
    ("Answer: B", "B", True, "the word answer"),
    ("The correct answer is B", "B", True, "a sentence"),
    ("C", "B", False, "other letter"),
    ("C. 42", "B", False, "other letter, whatever the text"),
    ("B and C", "B", False, "two letters"),
    ("BC", "B", False, "two letters together"),
    ("B, C", "B", False, "a list of letters"),
    ("42", "B", False, "a value, options unknown"),
    ("A circle", "A", False, "an article is not a letter"),
    ("B", "(B)", True, "truth in brackets"),
    ("B", "B. 42", True, "truth with option text"),
    ("42", "B. 42", True, "the truth's option text"),
    ("43", "B. 42", False, "another option's text"),
    ("A, C", "AC", True, "several letters"),
    ("CA", "AC", True, "several letters, other order"),
    ("A and C", "A, C", True, "several letters in words"),
    ("A, B", "AC", False, "other letters"),
    ("A", "AC", False, "a part of several letters"),
]

WORDS = [
    ("red", "Red", True, "case"),
    ("the red ball", "red ball", True, "article"),
    (r"\text{red}", "red", True, "text command"),
    ("blue", "red", False, "other word"),
    ("Yes", "yes", True, "yes"),
    ("No", "Yes", False, "no is not yes"),
    ("Yes, it is", "Yes", True, "yes with an explanation"),
    ("True", "true", True, "truth value"),
    ("right-angled triangle", "right angled triangle", True, "hyphen"),
    ("isosceles triangle", "equilateral triangle", False, "other words"),
    ("New York", "new york.", True, "full stop"),
    ("5", "red", False, "a number for a word"),
    ("Tom's house", "Toms house", True, "apostrophe"),
    ("Tom’s house", "Tom's house", True, "typographic apostrophe"),
    ("三角形", "三角形", True, "other scripts"),
]

SEQUENCES = [
    ("1, 2", "1,2", True, "spaces"),
    ("2, 1", "1, 2", True, "order of bare lists does not matter"),
    ("1, 3", "1, 2", False, "other element"),
    ("1 and 2", "1, 2", True, "and"),
    ("1 or 2", "1, 2", True, "or"),
    ("1, 2, and 3", "1,2,3", True, "Oxford comma"),
    (r"\{1, 2\}", "1, 2", True, "set"),
    (r"\{2, 1\}", r"\{1,2\}", True, "sets have no order"),
    ("(1, 2)", "(1,2)", True, "pair"),
    (r"\left(1, 2\right)", "(1,2)", True, "sized brackets"),
    ("(2, 1)", "(1, 2)", False, "pairs have order"),
    ("(1/2, 2)", "(0.5, 2)", True, "elements by value"),
    ("[1, 2]", "[1, 2]", True, "interval"),
    ("[1, 2]", "(1, 2)", False, "kinds of brackets differ"),
    ("[0,100)", "(0,100]", False, "a comma between bounds separates no thousands"),
    ("[0,100]", "(0,100)", False, "nor here"),
    ("x = 1, x = 2", "1, 2", True, "variables in front"),
    ("x=1 or x=2", "1, 2", True, "variables and or"),
    (r"\pm 3", "3, -3", True, "plus-minus"),
    (r"x = \pm 3", "-3, 3", True, "plus-minus with a variable"),
    ("±3", r"\pm 3", True, "Unicode plus-minus"),
    (r"\pm 3", "3", False, "two values for one"),
    ("red, blue", "blue, red", True, "words"),
]

LETTERS = [
    ("y-x", "z-y", False, "letters have no equal steps between them"),
    ("a+c", "2b", False, "b is not the mean of a and c"),
    ("y", "x-y+z", False, "nor y of x and z"),
    ("b+a", "a+b", True, "order"),
    ("5m", "5 m", True, "a unit with and without a space"),
    ("5 m", "5m", True, "and in the truth"),
    (r"5\text{ m}", "5m", True, "upright"),
    ("5 meters", "5m", True, "its name"),
    ("5m", "5 meters", True, "the other way round"),
    ("5m", "5", False, "beside a bare number it may be algebra"),
    (r"2\,r", "2r", True, "a product with a thin space"),
    (r"2\,r", "2", False, "a radius is no unit"),
    ("4 p", "4 q", False, "nor are these"),
    ("12 CM", "12 cm", True, "capitals of a unit"),
    ("3 kW", "3 MW", False, "other power"),
    ("2**3", "8", True, "a power as in Python"),
    ("2**3", "23", False, "it is no markdown"),
    ("x**2", "x^2", True, "of a variable"),
    ("**12** cm", "12 cm", True, "markdown"),
    ("1,000, 2,000", "1000, 2000", True, "thousands in a list"),
    ("1,000, 2,000", "1000, 2001", False, "other number in it"),
    ("1,2,3", "1, 2, 3", True, "a list without spaces"),
]

CHEAP = [*LETTERS, *PLAIN_NUMBERS, *FRACTIONS, *PERCENT_UNITS, *ARITHMETIC, *EQUATIONS, *CHOICES, *WORDS, *SEQUENCES]

SYMBOLIC = [
    (r"2\sqrt{3}", r"\sqrt{12}", True, "root simplified"),
    (r"2\sqrt{3}", r"\sqrt{13}", False, "other root"),
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}", True, "rationalised"),
    (r"\sqrt{16}", "4", True, "root that is whole"),
    ("x^2+2x+1", "(x+1)^2", True, "expanded"),
    ("x^2+2x", "(x+1)^2", False, "other polynomial"),
    (r"\frac{\pi}{2}", r"0.5\pi", True, "multiple of pi"),
    (r"2π", r"2\pi", True, "Unicode pi"),
    ("3π", r"2\pi", False, "other multiple of pi"),
    (r"\left[1, 2\right)", "[1,2)", True, "half-open interval"),
    (r"[1,2]", "(1,2)", False, "closed and open"),
    (r"(-\infty, 2]", r"(-\infty,2]", True, "unbounded interval"),
    (r"(-\infty,1)\cup(2,\infty)", r"(2,\infty)\cup(-\infty,1)", True, "order of a union"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", True, "matrix"),
    (r"\begin{pmatrix}1\\3\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}", False, "other matrix"),
    ("y = 2x+1", "y=1+2x", True, "equation, terms exchanged"),
    ("y = 2x+3", "y=2x+1", False, "other equation"),
    (r"\log_2 8", "3", True, "logarithm"),
    (r"\sin 30^\circ", "x", False, "unlike things"),
    ("x > 3", "3 < x", True, "inequality turned round"),
    ("x > 3", "x < 3", False, "other inequality"),
    (r"1 \pm \sqrt{2}", r"1+\sqrt{2}, 1-\sqrt{2}", True, "plus-minus with a root"),
    ("a+b", "b+a", True, "commutes"),
    ("ab", "ba", True, "product commutes"),
    (r"\binom{5}{2}", "10", True, "binomial"),
]


def _name(case):
    return case[3] if isinstance(case, tuple) else None


@pytest.mark.parametrize("answer, truth, correct, why", CHEAP, ids=[f"{c[3]}-{i}" for i, c in enumerate(CHEAP)])
def test_compare_without_algebra(answer, truth, correct, why):
    assert compare(answer, truth) is correct, why


@pytest.mark.parametrize("answer, truth, correct, why", SYMBOLIC, ids=[f"{c[3]}-{i}" for i, c in enumerate(SYMBOLIC)])
def test_verify_with_algebra(answer, truth, correct, why):
    verdict = verify(f"So it is $\\boxed{{{answer}}}$.", truth)
    assert (verdict.status in ("ok", "unparsable"), verdict.correct) == (True, correct), why


@pytest.mark.parametrize("answer", [c[0] for c in (*PLAIN_NUMBERS, *ARITHMETIC, *CHOICES, *WORDS)])
def test_whole_truth_equals_itself(answer):
    assert compare(answer, answer) is True


@pytest.mark.parametrize(
    "answer, truth, tolerance, correct",
    [
        ("3.1", "3.14", None, False),
        ("3.1", "3.14", 0.02, True),
        ("3.0", "3.14", 0.02, False),
        ("102 cm", "100", 0.05, True),
        ("-102", "-100", 0.05, True),
        ("0", "100", 0.05, False),
    ],
)
def test_tolerance_only_when_asked_for(answer, truth, tolerance, correct):
    assert compare(answer, truth, tolerance=tolerance) is correct


PIECES = (
    r"\frac { } ( ) [ ] \{ \} \sqrt 1 2 12 0.3 x y i e \pi ' ^ _ , ; and or = < \le \in \cup \infty - + * / ! % ° | "
    r"cm m A B AB \angle ... \overline : \pm \begin{cases} \\ & \end{cases} \begin{pmatrix} \end{pmatrix} base f( "
    r"twenty-five am July 4 \mathbb{R} \setminus \binom \lfloor 答案 厘米 或 \langle \dot $ € ** Yes north \emptyset"
).split(" ")
TEXTS = st.lists(st.sampled_from([*PIECES, " "]), max_size=14).map("".join)


@given(TEXTS, TEXTS)
def test_never_raises_and_takes_a_text_for_itself(a, b):
    assert compare(a, b) in (True, False, None)
    assert compare(a, a) is not False or not canonical(a)
