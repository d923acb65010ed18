"""What belongs to the operator's own house."""

from __future__ import annotations

import pytest

from filters.pii.detector import build_detector

DETECTOR = build_detector(internal_hosts=["plimsol.example"], record_fields=["risk_score"])


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("INTERNAL_HOST", "ssh to db1.prod.internal now", "db1.prod.internal"),
        ("INTERNAL_HOST", "api.default.svc.cluster.local:8080", "api.default.svc.cluster.local:8080"),
        ("INTERNAL_HOST", "主机是wiki.plimsol.example。", "wiki.plimsol.example"),
        ("PRIVATE_IP", "at 192.168.4.17, port 80", "192.168.4.17"),
        ("PRIVATE_IP", "地址10.20.30.40。", "10.20.30.40"),
        ("PRIVATE_IP", "via fd12:3456:789a:1::1 only", "fd12:3456:789a:1::1"),
        ("FILE_PATH", "see /etc/tamber/app.conf.", "/etc/tamber/app.conf"),
        ("FILE_PATH", "in ~/notes/plan.txt, then", "~/notes/plan.txt"),
        ("FILE_PATH", "open C:\\Users\\vexlo\\plan.txt", "C:\\Users\\vexlo\\plan.txt"),
        ("FILE_PATH", "on \\\\filer\\share\\plan.txt", "\\\\filer\\share\\plan.txt"),
        ("STACK_TRACE", '  File "/srv/app/main.py", line 12, in run\n', 'File "/srv/app/main.py", line 12, in run'),
        ("STACK_TRACE", "\tat com.tamber.App.run(App.java:42)\n", "at com.tamber.App.run(App.java:42)"),
        ("STACK_TRACE", "\t/srv/app/main.go:42 +0x1b\n", "/srv/app/main.go:42 +0x1b"),
        ("STACK_TRACE", "    at run (/srv/app/index.js:4:12)\n", "    at run (/srv/app/index.js:4:12)"),
        ("INTERNAL_RECORD", 'x {"id": {"a": 1}, "risk_score": 7} y', '{"id": {"a": 1}, "risk_score": 7}'),
        ("ADMIN_NOTE", "Admin note: waive it\nuntil May\n\nHello", "Admin note: waive it\nuntil May"),
        ("ADMIN_NOTE", "管理员备注：不要退款。", "管理员备注：不要退款。"),
        ("HIGH_ENTROPY_KEY", "api key: 9f86d081884c7d659a2feaa0c55ad015", "9f86d081884c7d659a2feaa0c55ad015"),
        ("HIGH_ENTROPY_KEY", "密钥是9f86d081884c7d659a2f", "9f86d081884c7d659a2f"),
    ],
)
def test_found(kind: str, text: str, value: str) -> None:
    assert (kind, value) in [(span.type, text[span.start : span.end]) for span in DETECTOR.find(text)]


@pytest.mark.parametrize(
    "text", ["either/or and 24/7", "the /tmp folder", "a local.shop", "the key is important", "1.2.3.4"]
)
def test_not_found(text: str) -> None:
    ours = {
        "INTERNAL_HOST",
        "PRIVATE_IP",
        "FILE_PATH",
        "STACK_TRACE",
        "INTERNAL_RECORD",
        "ADMIN_NOTE",
        "HIGH_ENTROPY_KEY",
    }
    assert not ours & {span.type for span in DETECTOR.find(text)}


def test_a_private_address_is_no_other_address() -> None:
    assert {span.type for span in DETECTOR.find("10.20.30.40")} == {"PRIVATE_IP"}
