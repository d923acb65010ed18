"""Addresses down to the door."""

from __future__ import annotations

import pytest

from filters.normalise import normalise
from filters.pii.addresses import Addresses
from filters.pii.view import View


@pytest.mark.parametrize(
    "address",
    [
        "221B Baker Street",
        "12 Old Mill Rd., Apt 4, Springfield, IL 62704",
        "1600 N. Harbour Drive, Suite 12",
        "14 queens road",
        "P.O. Box 1234",
        "Lindenstraße 12a",
        "12 rue des Lilas",
        "Calle Mayor 14",
        "Rua do Carmo 12",
        "Lindegatan 26",
        "12 Hill View 3 Apt. 460, Oldtown, Norland 05833",
        "PSC 8139, Box 3699\nAPO AE 99874",
        "16 Tamber 49\nOldtown\n, NB\n 23861",
        "the corner of Mill Lane and Tamber Street",
        "北京市海淀区学院路12号3单元401室",
        "广东省深圳市南山区科技三路210号",
        "学院路12号",
        "浙江省杭州市西湖区翠湖雅苑6号楼356",
        "解放路十二号三单元",
    ],
)
def test_found(address: str) -> None:
    text = f"({address})"
    covered = {at for span in Addresses().find(View(normalise(text).text)) for at in range(span.start, span.end)}
    assert set(range(1, 1 + len(address.rstrip(".")))) <= covered


@pytest.mark.parametrize(
    "text",
    [
        "There are 3 ways to go",
        "第3号决议",
        "他住在北京市",
        "走这条路要12分钟",
        "$12 street food",
    ],
)
def test_not_found(text: str) -> None:
    assert list(Addresses().find(View(normalise(text).text))) == []
