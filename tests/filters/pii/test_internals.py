"""What belongs to the operator's own house."""

from __future__ import annotations

import pytest

from filters.pii.detector import build_detector

HOSTS = ["plimsol.example", "ledger7", ".db-*.kipmora.example", "stage*"]
DETECTOR = build_detector(internal_hosts=HOSTS, record_fields=["risk_score", "Bonität", "内部评级"])


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("INTERNAL_HOST", "ssh to db1.prod.internal now", "db1.prod.internal"),
        ("INTERNAL_HOST", "api.default.svc.cluster.local:8080", "api.default.svc.cluster.local:8080"),
        ("INTERNAL_HOST", "主机是wiki.plimsol.example。", "wiki.plimsol.example"),
        ("INTERNAL_HOST", "ask ledger7 for it", "ledger7"),
        ("INTERNAL_HOST", "https://LEDGER7.kipmora.example:8443/x", "LEDGER7.kipmora.example:8443"),
        ("INTERNAL_HOST", "a.db-eu-2.kipmora.example.", "a.db-eu-2.kipmora.example"),
        ("INTERNAL_HOST", "on stage12, maybe", "stage12"),
        ("INTERNAL_HOST", "nas.home.arpa", "nas.home.arpa"),
        ("PRIVATE_IP", "at 192.168.4.17, port 80", "192.168.4.17"),
        ("PRIVATE_IP", "地址10.20.30.40。", "10.20.30.40"),
        ("PRIVATE_IP", "via fd12:3456:789a:1::1 only", "fd12:3456:789a:1::1"),
        ("FILE_PATH", "see /etc/tamber/app.conf.", "/etc/tamber/app.conf"),
        ("FILE_PATH", "in ~/notes/plan.txt, then", "~/notes/plan.txt"),
        ("FILE_PATH", "open C:\\Users\\vexlo\\plan.txt", "C:\\Users\\vexlo\\plan.txt"),
        ("FILE_PATH", "on \\\\filer\\share\\plan.txt", "\\\\filer\\share\\plan.txt"),
        ("FILE_PATH", "in C:/Users/vexlo/plan.txt", "C:/Users/vexlo/plan.txt"),
        ("FILE_PATH", "配置在/etc/tamber/app.conf里", "/etc/tamber/app.conf"),
        ("FILE_PATH", "文件是C:\\Users\\vexlo\\plan.txt", "C:\\Users\\vexlo\\plan.txt"),
        (
            "STACK_TRACE",
            "  at Tamber.App.Run(Int32 n) in App.cs:line 42\n",
            "at Tamber.App.Run(Int32 n) in App.cs:line 42",
        ),
        ("STACK_TRACE", "lib/app.rb:12:in `run'", "lib/app.rb:12:in `run'"),
        ("STACK_TRACE", "#0 /srv/www/app.php(12): run()", "#0 /srv/www/app.php(12): run()"),
        ("STACK_TRACE", "             at src/main.rs:4:5", "at src/main.rs:4:5"),
        ("INTERNAL_RECORD", '{"内部评级": 7}', '{"内部评级": 7}'),
        ("INTERNAL_RECORD", '{"BonitÄt": 7}', '{"BonitÄt": 7}'),
        ("INTERNAL_RECORD", '{"ｒｉｓｋ_score": 7}', '{"ｒｉｓｋ_score": 7}'),
        ("STACK_TRACE", '  File "/srv/app/main.py", line 12, in run\n', 'File "/srv/app/main.py", line 12, in run'),
        ("STACK_TRACE", "\tat com.tamber.App.run(App.java:42)\n", "at com.tamber.App.run(App.java:42)"),
        ("STACK_TRACE", "\t/srv/app/main.go:42 +0x1b\n", "/srv/app/main.go:42 +0x1b"),
        ("STACK_TRACE", "    at run (/srv/app/index.js:4:12)\n", "    at run (/srv/app/index.js:4:12)"),
        ("INTERNAL_RECORD", 'x {"id": {"a": 1}, "risk_score": 7} y', '{"id": {"a": 1}, "risk_score": 7}'),
        (
            "INTERNAL_RECORD",
            '{"a": "x { y", "risk_score": 7, "b": "} \\" }", "c": {"d": 1}} y',
            '{"a": "x { y", "risk_score": 7, "b": "} \\" }", "c": {"d": 1}}',
        ),
        ("INTERNAL_RECORD", "see {'risk_score': '}', 'b': 2}!", "{'risk_score': '}', 'b': 2}"),
        ("INTERNAL_RECORD", '"{\\"risk_score\\": 7, \\"b\\": 2}"', '{\\"risk_score\\": 7, \\"b\\": 2}'),
        ("INTERNAL_RECORD", '{"name": "Vexlo", "risk_score": 7, "b', '{"name": "Vexlo", "risk_score": 7, "b'),
        ("ADMIN_NOTE", "Admin note: waive it\nuntil May\n\nHello", "Admin note: waive it\nuntil May"),
        ("ADMIN_NOTE", "管理员备注：不要退款。", "管理员备注：不要退款。"),
        ("HIGH_ENTROPY_KEY", "api key: 9f86d081884c7d659a2feaa0c55ad015", "9f86d081884c7d659a2feaa0c55ad015"),
        ("HIGH_ENTROPY_KEY", "密钥是9f86d081884c7d659a2f", "9f86d081884c7d659a2f"),
    ],
)
def test_found(kind: str, text: str, value: str) -> None:
    assert (kind, value) in [(span.type, text[span.start : span.end]) for span in DETECTOR.find(text)]


@pytest.mark.parametrize(
    "text",
    [
        "either/or and 24/7",
        "红/黄/蓝",
        "ledger70 or upstage",
        "db-1.kipmora.example.org",
        "the /tmp folder",
        "a local.shop",
        "the key is important",
        "1.2.3.4",
    ],
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
