"""Docstrings as reStructuredText: sections, entries, and bars that are no substitution."""

import inspect
from inspect import signature

from docs.docstrings import to_restructured_text
from ifmsr import super_resolve


def converted(text):
    return "\n".join(to_restructured_text(inspect.cleandoc(text).splitlines()))


def test_entries_become_a_definition_list():
    said = converted(
        """Do it.

        Parameters
        ----------
        lr, rgb : (B, h, w), and
            (3, H, W).
        strict : raise.

        Returns
        -------
        (B, H, W), of the kind : of `lr`.
        """
    )
    assert ".. rubric:: Parameters\n" in said and "-----" not in said
    assert "``lr``, ``rgb``\n    (B, h, w), and\n    (3, H, W)." in said
    assert "``strict``\n    raise." in said
    assert "\n(B, H, W), of the kind : of `lr`." in said


def test_bars_are_escaped_outside_of_code_alone():
    said = converted("The norm |x| of ``a | b``::\n\n    |y|\n\nAnd |z|.")
    assert said == "The norm \\|x\\| of ``a | b``::\n\n    |y|\n\nAnd \\|z\\|."


def test_a_docstring_of_the_package_has_all_its_entries():
    said = converted(inspect.getdoc(super_resolve))
    assert all(f"\n``{name}``\n    " in said for name in signature(super_resolve).parameters)
    assert ".. rubric:: Raises\n\n``InputError``\n    values outside [0, 1]" in said
