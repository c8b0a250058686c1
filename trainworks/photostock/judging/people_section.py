"""The report's section on what people say."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from trainworks.photostock.judging.outcome import in_words
from trainworks.photostock.judging.table import table
from trainworks.report.page import render


def section(people: Mapping[str, Any]) -> Markup:
    """What `people` gives as HTML: the judgements or, before there are any, how to judge."""
    return Markup(render("photostock/judging/people_section.html", people=people, words=in_words(people), counted=table(people)))
