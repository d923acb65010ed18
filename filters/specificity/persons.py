"""Who a sentence speaks of: by name, by a word for a person, by a pronoun.

These are rules for counting against release, so they are simple and err to one side. Two sentences speak of different
persons only where each gives a full name and the names share no part; whatever is said without such a name is taken to
be said of everybody in the answer. A sentence that goes on with a pronoun after public figures goes on about them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import regex

from filters.pii.view import scan, search
from filters.specificity.lexicon import Hit, Lexicon

PRONOUN, ROLE, KIN, SELF = "pronoun", "role", "kin", "self"

_PRONOUNS = "he she his her him hers himself herself they their them themself 他 她 他的 她的 其 其本人 此人 对方"
_SELF = "i me my myself mine 我 我的 本人 俺"
_ROLES = (
    "customer client patient user member applicant employee colleague tenant student pupil borrower "
    "policyholder caller "
    "claimant candidate subscriber resident defendant suspect victim witness buyer seller guest "
    "passenger driver lodger "
    "neighbour neighbor landlord person man woman boy girl lady gentleman guy child kid teenager "
    "baby toddler worker donor "
    "beneficiary cardholder shareholder insured complainant lady individual lodger somebody someone "
    "trainee manager intern "
    "客户 患者 病人 用户 会员 员工 职工 同事 租客 租户 学生 申请人 借款人 投保人 被保险人 当事人 "
    "嫌疑人 被告 原告 受害人 证人 "
    "买家 卖家 顾客 乘客 旅客 房东 邻居 男子 女子 男孩 女孩 老人 孩子 儿童 少年 少女 先生 女士 "
    "小姐 太太 同学 老师 师傅 阿姨 "
    "大爷 大妈 业主 车主 店主 储户 持卡人 参保人 候选人 求职者 应聘者 机主 户主 学员 队员 股东 实习生 经理 主任 医生"
)
_KIN = (
    "husband wife spouse partner son daughter mother father mum mom dad brother sister parent "
    "grandmother grandfather "
    "uncle aunt cousin nephew niece boyfriend girlfriend fiancé fiancée stepson stepdaughter "
    "丈夫 妻子 老公 老婆 爱人 配偶 儿子 女儿 母亲 父亲 妈妈 爸爸 哥哥 姐姐 弟弟 妹妹 男友 女友 "
    "男朋友 女朋友 奶奶 爷爷 外婆 外公 "
    "叔叔 舅舅 姑姑 侄子 外甥 孙子 孙女 岳父 岳母 婆婆 公公"
)
WORDS = MappingProxyType(
    dict.fromkeys(_PRONOUNS.split(), PRONOUN)
    | dict.fromkeys(_SELF.split(), SELF)
    | dict.fromkeys(_ROLES.split(), ROLE)
    | dict.fromkeys(_KIN.split(), KIN)
)
_LEXICON = Lexicon(WORDS)
_TITLE = regex.compile(
    r"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Lady)\.? [A-Z][\w'’-]+"
    r"|[\u4e00-\u9fff](?:某[某甲乙丙]?|先生|女士|小姐|太太|老师|师傅|阿姨|医生)"
)
_SENTENCE = regex.compile(
    r"(?:[^.!?。！？；;\n]++|[.!?;]++(?=[A-Za-z0-9]))*+(?:[.!?。！？；;\n]++\s*+)?"  # "3.5" is one
)

# The commonest family names; with one of them two characters are a full name.
FAMILY_NAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁"
    "任沈姚卢姜崔钟谭陆汪范金石廖"
    "贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤甄"
)


@dataclass(frozen=True, slots=True)
class Mentions:
    """How a sentence speaks of persons. `names` are full names, each as the set of its parts."""

    names: tuple[frozenset[str], ...]
    doubtful_name: bool  # a name that is not full, or shares a part with another
    words: frozenset[str]  # PRONOUN, ROLE, KIN, SELF

    @property
    def anybody(self) -> bool:
        """Whether any person is spoken of."""
        return bool(self.names or self.doubtful_name or self.words)


def hits(lower_text: str) -> Iterator[Hit[str]]:
    """Words for persons; `lower_text` is in lower case."""
    return _LEXICON.find(lower_text)


def has_title(text: str) -> bool:
    """Whether a name behind a title, or a Chinese one before it, stands in the text. Raises DetectorError."""
    return search(_TITLE, text) is not None


def mentions(text: str, lower_text: str, names: Sequence[str] = ()) -> Mentions:
    """Read one sentence. `names` are the persons' names that a name model found in it. Raises DetectorError."""
    full = tuple(dict.fromkeys(parts for name in names if (parts := full_name(name))))
    doubtful = len(full) < len(names) or has_title(text)
    return Mentions(full, doubtful, frozenset(hit.entry for hit in hits(lower_text)))


def full_name(name: str) -> frozenset[str]:
    """The parts of a name that has at least two; a Chinese one is one part. Empty for any other."""
    parts = frozenset(part for part in regex.split(r"[\s.·]+", name.casefold()) if len(part) > 1)
    if len(parts) > 1:
        return parts
    chinese = regex.fullmatch(r"[\u4e00-\u9fff]{2,4}", name)
    return parts if chinese and (len(name) > 2 or name[0] in FAMILY_NAMES) else frozenset()


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence; together they are the text. Raises DetectorError."""
    # All at once: the clock of `scan` would go on while the caller works between two of them.
    yield from [match.span() for match in scan(_SENTENCE, text) if match.group()]
