"""Nothing becomes markup that is not made as markup; what is made is XML as well."""

from hypothesis import given
from hypothesis import strategies as st

from projections.reporting.markup import Markup, joined, shown, tag
from tests.unit.projections.reporting.stories import as_xml

TEXTS = st.text(st.characters(codec=None, exclude_categories=()))


@given(TEXTS, TEXTS)
def test_any_text_comes_back_as_the_text_that_it_is(text: str, other: str) -> None:
    made = tag("p", text, tag("b", other), title=other, data_x=text)
    read = as_xml(made)
    codes = {mark for mark in text + other if not mark.isprintable() and mark != "\n"}
    assert [one.tag for one in read.iter()] == ["p", "b"]
    assert not codes & set("".join(read.itertext()) + "".join(read.attrib.values()))
    if not codes:
        assert (read.text or "", read.attrib["title"].replace("\n", " ")) == (text, other.replace("\n", " "))


def test_what_controls_writing_is_written_as_its_code() -> None:
    assert shown("a\u202eb\x00\x9b\U000e0041\ud800") == "a\\u202eb\\u0000\\u009b\\udb40\\udc41\\ud800"
    assert shown("two\nlines, Zoë, 日本, שלום") == "two\nlines, Zoë, 日本, שלום"


def test_markup_is_taken_as_it_is_and_nothing_else_is() -> None:
    inner = tag("b", "<x>")
    assert inner == "<b>&lt;x&gt;</b>"
    assert tag("p", inner, str(inner)) == f"<p>{inner}&lt;b&gt;&amp;lt;x&amp;gt;&lt;/b&gt;</p>"
    assert joined([inner, inner], " < ") == f"{inner} &lt; {inner}"
    assert isinstance(inner, Markup)


def test_attributes_are_quoted_named_and_left_out() -> None:
    made = tag("a", 1, class_="x", aria_label='"<', title=None, hidden=True, tabindex=0, open=False)
    assert made == '<a class="x" aria-label="&quot;&lt;" hidden="" tabindex="0">1</a>'
    assert tag("meta", name="a", content="b") == '<meta name="a" content="b"/>'
