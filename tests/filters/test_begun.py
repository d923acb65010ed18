"""Values that the user began and the answer ends; and answers that only stand behind what the user wrote."""

from __future__ import annotations

import pytest

from filters.begun import BegunValues
from filters.evidence import DetectorError
from filters.pii.detector import build_detector
from tests.support.every_form import KINDS, UNITS, pipeline, said


@pytest.mark.parametrize(
    ("own_text", "answer", "hidden"),
    [
        ("Her number starts with 138", "12345678, I think.", "12345678"),
        ("Her number starts with 138?", "12345678.", "12345678"),
        ("他的手机号是138", "12345678。", "12345678"),
        ("Her card: 4111 1111", " 1111 1111 it is.", " 1111 1111"),
        ("Complete vexlo.tam", "ber@example.com please", "ber@example.com"),
        ("The key is AKIAIOSF", "ODNN7EXAMPLE.", "ODNN7EXAMPLE"),
        ("她住在北京市海淀区学", "院路12号3单元401室。", "院路12号3单元401室"),
    ],
)
def test_the_rest_is_found(own_text: str, answer: str, hidden: str) -> None:
    spans = BegunValues(own_text, build_detector()).find(answer)
    assert hidden in {answer[span.start : span.end] for span in spans}
    assert hidden not in said(pipeline(UNITS[0], own_text=own_text), KINDS[0], [answer])


@pytest.mark.parametrize(
    ("own_text", "answer"),
    [
        ("", "12345678"),
        ("Mail me at a@example.com", "Sure, I will."),
        ("Mail me at a@example.com.", "Done. 5 minutes ago."),
        ("The server is 10.0.0.1", "5 minutes and it is back."),
        ("I live at 221 Baker Street.", "It takes 3 days."),
        ("My number is 13812345678", "2024 was the year."),
        ("订单2024-01-31-0012345", "2021年4月7日起，退货期限延长。"),
        ("Open /etc/nginx/nginx.conf", "2021年4月7日起。"),
        ("My passport is K48", "Please send all of it."),
        ("我住在北京市海淀区学院路12号", "您好，请稍等。"),
        ("What is 12 * 34?", "408."),
    ],
)
def test_an_ordinary_answer_is_no_rest(own_text: str, answer: str) -> None:
    assert BegunValues(own_text, build_detector()).find(answer) == []


def test_only_the_first_segment_of_a_channel_is_a_rest() -> None:
    built = pipeline(UNITS[0], own_text="Her number starts with 138")
    assert said(built, KINDS[0], ["I can tell: ", "12345678."]) == "I can tell: 12345678."


def test_a_request_that_cannot_be_read_hides_the_segment() -> None:
    class FailsOnTheRequest:
        def find(self, raw_text: str) -> list[object]:
            if "138" in raw_text:
                raise DetectorError
            return []

    with pytest.raises(DetectorError):
        BegunValues("Her number starts with 138", FailsOnTheRequest()).find("12345678")  # type: ignore[arg-type]
