"""How a word of a special category is tied to one person: patterns of who and how, English and Chinese (special.py).

The English ones read lower case, but for names. Those that end in "$" are searched in the text before a word, which is
cut to a bounded length; every quantifier is bounded too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import regex

from filters import numerals
from filters.specificity.persons import FAMILY_NAMES, KIN, ROLE, WORDS
from filters.specificity.special_terms import (
    BIOMETRIC,
    CRIME,
    ETHNICITY,
    FINANCE,
    HEALTH,
    POLITICS,
    RELIGION,
    SEXUALITY,
    UNION,
    WHEREABOUTS,
)


def _either(kind: str, *, chinese: bool) -> str:
    words = [word for word, entry in WORDS.items() if entry == kind and word.isascii() != chinese]
    return "|".join(sorted(words, key=len, reverse=True))


# ---- who, in English -------------------------------------------------------------------------------------------------

_ROLES, _KIN = _either(ROLE, chinese=False), _either(KIN, chinese=False)
_DEFINITE = (
    rf"(?:the|this|that|our|your|said) (?:[a-z-]+ ){{0,2}}?(?:{_ROLES})(?! (?:service|support|care"
    rf"|team|satisfaction|base|accounts?|portal|data)\b)"
)
_RELATIVE = rf"(?:his|her|my|(?:the|this|our) (?:{_ROLES})['’]s|[a-z]+['’]s) (?:[a-z-]+ ){{0,1}}?(?:{_KIN})"
_TITLED = r"(?:mr|mrs|ms|miss|mx|dr|prof)\.? [a-z][\w'’-]+"
ONE = regex.compile(rf"\b(?:he|she|him|her|his|himself|herself|i|my|me|{_DEFINITE}|{_RELATIVE}|{_TITLED})\b")
# A question turns the two round: "is she a Quaker".
ASKED = regex.compile(
    rf"\b(?:is|was) (?:(?:{ONE.pattern}) (?:an? )?|[a-z'’-]+ [a-z'’-]+ an? )(?:(?:really|also|still) )?$"
)
OWNER = regex.compile(
    rf"\b(?:his|her|my|(?:{_DEFINITE}|{_RELATIVE}|{_TITLED}|[a-z][\w-]+)['’]s) (?:(?!(?:about|on|of"
    rf"|for|against|in|at|to|and|or|from|with|is|are|was|who)\b)[\w'’-]+ ){{0,3}}$"
)
GENERIC = regex.compile(
    r"\b(?:people|patients|those|many|some|most|anyone|everyone|anybody|individuals|customers|clients|employees|users"
    r"|members|women|men|children|adults|who (?:may|might)|if you|when you|you (?:may|can|might"
    r"|should)|persons?|somebody|a (?:person|patient|customer))\b"
)
NAME_BEFORE = regex.compile(
    r"(?<![A-Za-z0-9])(?P<n>[A-Z][a-zà-ÿ'’-]+(?: [A-Z]\.)?(?: (?:[A-Z][a-zà-ÿ'’-]+))*)(?:,[^,]{1,40},)?"
    r"(?: (?:who|also|now|still|recently|once|later|reportedly|has|had|is|was|been|being|never|twice"
    r"|just|does|not|always|already)){0,4} ?$"
)
_NO_NAMES_TEXT = """
to whoever whichever anybody somebody nobody
someone anything everything something nothing from by of under over into because
although whether there here than then thus such more most less few several another other others no nor so yet
still also even only just once again now today tomorrow yesterday please let make sure use using do does did
don’t don't have has had be been was were is are will would can could may might must shall should not never
always often the this that these those it what which who when where why how many some people patients doctors
women men children everyone anyone none all each every in on at for with and or but if as while after before
since both customers clients members users employees you we they i an a its their our your his her my yes
having being january february march april june july august september october november december monday tuesday
wednesday thursday friday saturday sunday britain england scotland wales ireland america china london paris
europe germany france india japan canada australia russia islam christianity buddhism company companies
research researchers scientists studies parliament government voters smoking diabetes cancer depression asthma
treatment symptoms type vaccination police courts banks one two three
"""
NO_NAMES = frozenset(_NO_NAMES_TEXT.split())

# ---- how, in English: what stands between the person and the word, by category -------------------------------------

_HAVING = r"(?:has|had|having|['’]s|have|got|has got)"
_VERBS: Mapping[str, str] = MappingProxyType(
    {
        HEALTH: rf"{_HAVING}|(?:is |was )?suffer(?:s|ed|ing)? from|diagnosed (?:with|as)|treated for|treatment for"
        rf"|liv(?:es|ing|ed) with"
        r"|battl(?:es|ed|ing)|fighting|fights|fought|history of|develop(?:s|ed)|contracted|caught|died of"
        r"|recover(?:s|ed|ing) from|positive for"
        r"|admitted (?:to hospital )?(?:with|for)|hospitali[sz]ed (?:with|for)|medication for|therapy for"
        r"|because of (?:his|her)|due to (?:his|her)"
        r"|takes?|taking|took|on|prescribed|undergo(?:es|ing|ne)|underwent|receiv(?:es|ed|ing)|needs"
        r"|needed|started|injects?|survived|for (?:his|her)|checked into|with",
        RELIGION: (
            r"converted to|practi[sc]es|practi[sc]ing|follows|believes in|raised in|left|renounced|embraced"
            r"|adheres to"
        ),
        POLITICS: rf"{_HAVING}|holds|shares|hides",
        UNION: rf"{_HAVING}|pays|paid|holds|cancelled|renewed",
        SEXUALITY: rf"{_HAVING}|having|began|started|confessed (?:to )?|hid|hides|watches|ended",
        ETHNICITY: rf"{_HAVING}|(?:is|was|am|be|being) of|claims",
        BIOMETRIC: (
            rf"{_HAVING}|enrolled|scanned|recorded|stored|gave|provided|submitted|registered|took|carries"
            rf"|uploaded|left"
        ),
        FINANCE: (
            rf"{_HAVING}|owes|owed|earns|earned|holds|took out|takes out|defaulted on|filed for|behind on"
            rf"|declared|opened|inherited|receives|draws|owing|with|in"
        ),
        WHEREABOUTS: r"shares?|shared|sent|posted",
        CRIME: rf"{_HAVING}|received|got|carries|with|for|under|hid|serving|facing|faces",
    }
)
HAS = MappingProxyType(
    {
        kind: regex.compile(
            rf"(?<![a-z])(?:{verbs})(?: (?!(?:about|who|that|which|against|people|patients"
            rf"|those)\b)[\w'’%,£$€.-]+){{0,4}}? $"
        )
        for kind, verbs in _VERBS.items()
    }
)
IS = regex.compile(
    r"(?<![a-z])(?:is|was|are|were|['’]s|['’]m|am|spent|be|been|being|became|becomes|as|remains|turned out to be"
    r"|grew up|raised|born|identifies|feels|a lifelong)"
    r"(?: (?!(?:about|who|that|which|against|for|to|than|like|by|with|in|at|on|from|of|people"
    r"|not sold)\b)[\w'’-]+){0,4}? $"
)
BEFORE_PERSON = regex.compile(rf" (?:[a-z-]+ )?(?:{_ROLES}|{_KIN})\b")
# Behind a thing whose owner is named last ("a tumour in his scan"), and behind what a person is if that comes first.
OWNER_BEHIND = regex.compile(r" (?:was |were )?(?:found |seen )?(?:in|on|of) (?:his|her|my)\b")
AS_BEFORE = regex.compile(r"\bas (?:an? )?(?:[a-z-]+ )?$")
ONE_BEHIND = regex.compile(r"[^.!?;]{0,40}\b(?:he|she|i)\b")
# What must stand behind words that alone say little: "earns 92,000", "is in Lisbon this week".
BESIDE_BEHIND = MappingProxyType(
    {
        FINANCE: regex.compile(r"(?: (?:about|around|over|under|some))? ?[£$€¥]?\d"),
        WHEREABOUTS: regex.compile(
            r" [A-Z][^.!?;]{0,40}\b(?:now|today|tonight|this (?:week|morning|afternoon|evening)|until"
            r"|at the moment)\b"
        ),
    }
)
THE = regex.compile(r"\b(?:the|this|that|our|your) (?:[a-z-]+ )?$")
LABEL_BEFORE = regex.compile(
    r"(?:^|[\n;,:{\"'|*•(“-])\s*\W{0,3}(?:diagnosis|condition|illness|medical history|health|medication"
    r"|allergies|religion|faith|politics|party|political (?:views|affiliation|party)"
    r"|voted|union|union membership|sexual orientation|orientation|ethnicity|ethnic group|race"
    r"|biometrics?|criminal record|convictions?|debts?|credit score|salary|income|balance"
    r"|location|last seen|notes?)[\"'*]{0,3} ?[:=] ?[\"'*]{0,3}(?: ?[\w-]+,?){0,4}? ?$"
    r"|(?:诊断|疾病|病史|健康状况|宗教|宗教信仰|信仰|政治面貌|党派|民族|族裔|性取向|前科|犯罪记录"
    r"|负债|征信|收入|月薪|年薪|余额|位置|备注)\s*[:：]\s*[^，,。；;：:]{0,6}$"
)

# ---- who and how, in Chinese ---------------------------------------------------------------------------------------

_ROLES_ZH, _KIN_ZH = _either(ROLE, chinese=True), _either(KIN, chinese=True)
_NAMED_ZH = (
    rf"(?:(?<![\u4e00-\u9fff])[{FAMILY_NAMES}][\u4e00-\u9fff]{{1,2}}(?=[，,]?[患曾因是被有的在于信确已"
    rf"现正去每目欠名加投入出做服查得怀月年坐刚和皈参受组退拒犯上吃练\d]))"
)
ONE_ZH = regex.compile(
    rf"[他她](?![人们])|其(?!他|它|中|实|余|次)|(?<!自)我(?!们|国|院|司|校|市|省|县|区)|本人|此人"
    rf"|(?:该|这位|那位|此|这名|那名|这个|那个|本)(?:名|位)?(?:{_ROLES_ZH})"
    rf"|[\u4e00-\u9fff](?:某[某甲乙丙]?|先生|女士|小姐|太太|师傅|阿姨|老师|同学|经理|医生|主任)"
    rf"|{_NAMED_ZH}|(?:姓名|客户名|患者姓名)[:：]"
)
BARE_ROLE_ZH = regex.compile(rf"(?:^|[，,。；;：:、\s“])(?:{_ROLES_ZH}|{_KIN_ZH})(?!服务|应|可|需|请|如|若|们|家属)")
GENERIC_ZH = regex.compile(
    r"如果|假如|倘若|若|凡是|凡|一般|通常|应该|应当|应|可以|可能|建议|往往|容易|需要|须|请|的话|很多"
    r"|许多|有些|人们|大多|部分|不少|所有|任何|每个|一些|您|你|患者们|各位|往往|人群"
)
STRICT_GENERIC_ZH = regex.compile(
    r"很多|许多|有些|人们|大多数|部分|不少|所有|任何|一些|人群|您|你们?|各位|如果|假如|若是"
)
_BETWEEN_ZH = r"[^，,。；;：:！!？?、]{0,8}?$"
HAS_ZH: Mapping[str, Any] = MappingProxyType(
    {
        kind: regex.compile(rf"(?:{verbs}){_BETWEEN_ZH}")
        for kind, verbs in {
            HEALTH: (
                r"患有?|患上|罹患|身患|得了|得过|有|确诊|诊断|查出|感染|因|死于|治疗|服用|服|吃|接受|做过|做了|做"
                r"|注射|打|曾患|饱受|染上|的|存在|依赖|靠|植入|装了|戴着"
            ),
            RELIGION: r"信奉|信仰|信|皈依|改信|加入|修炼|练|崇拜|的",
            POLITICS: r"的|有|保留|隐瞒|表明",
            UNION: r"的|有|交|缴纳|持有|公开",
            SEXUALITY: r"的|有|搞|发生|隐瞒|发展|养",
            ETHNICITY: r"的|有",
            BIOMETRIC: r"的|录入|采集|提取|登记|上传|提供|留下|做了|做过|保存|交出|有",
            FINANCE: r"的|有|每个?月|还|欠|欠下|背着|背负|名下|借了|借|还不上|开了|继承|申请|拥有|剩|共",
            WHEREABOUTS: r"的|共享|泄露|发送|透露",
            CRIME: r"的|有|留有|留下|隐瞒|存在",
        }.items()
    }
)
IS_ZH = regex.compile(
    r"(?:是|为|系|属于|属|成为|成了|当上|作为|乃|承认自己是"
    r"|自称)(?:一?[名位个])?[^，,。；;：:！!？?、]{0,6}?$|^[，,]?$"
)
TOPIC_BEHIND_ZH = regex.compile(r"^(?:病史|患者|病人|晚期|早期|多年|已久|复发|缠身|发作|信仰)")
ETHNIC_BEHIND_ZH = regex.compile(
    r"^(?:人|女性|男性|女子|男子|姑娘|小伙|客户|员工|学生|同胞|青年|患者|会员|老人)?(?:[，,。；;、！!]|$|[，,]|出身)"
)

# ---- children --------------------------------------------------------------------------------------------------------

THEIRS = regex.compile(r"\b(?:their|our) $")
CHILD_WORDS = (
    r"son|daughter|boy|girl|child|kid|pupil|grandson|granddaughter|niece|nephew|stepson|stepdaughter"
    r"|brother|sister|toddler|baby|twins?"
)
CHILD_EN = regex.compile(
    rf"(?i)\b(?:(?P<v>(?P<n>{numerals.NUMBER_EN})[- ]years?[- ]old(?:,? (?:{CHILD_WORDS}|[A-Z][a-z]+))?)"
    rf"|(?:{CHILD_WORDS})(?:,? [A-Z][\w'’-]+)?,? (?:who |she |he )?(?:is |was |are |were |turned |aged "
    rf"|just turned |will be )+(?P<v>(?P<n>{numerals.NUMBER_EN}))(?![\w%-]| (?:percent|months"
    rf"|weeks|km|miles))"
    rf"|(?:{CHILD_WORDS})(?:,? [A-Z][\w'’-]+)?,? (?P<v>(?P<n>\d{{1,2}}))(?=,)"
    rf"|(?:{CHILD_WORDS})(?:,? [A-Z][\w'’-]+)?,? (?P<v>(?:goes to|attends|is at|is in|starts at"
    rf"|started)(?: [\w'’.-]+){{0,4}}? (?:nursery|kindergarten|primary school|elementary school"
    rf"|preschool|daycare|(?:first|second|third|fourth|fifth|sixth) grade|year (?:one|two|three|four"
    rf"|five|six|[1-7]))))"
)
CHILD_WORDS_ZH = (
    "儿子|女儿|孩子|小孩|孙子|孙女|外孙|外孙女|侄子|侄女|外甥|外甥女|弟弟|妹妹|养子|养女|双胞胎|宝宝|继子|继女"
)
CHILD_ZH = regex.compile(
    rf"(?:{CHILD_WORDS_ZH})[^，,。；;]{{0,8}}?[，,]?(?:今年|刚满|才|只有|现年|年仅|刚|已经"
    rf"|快)?(?P<v>(?P<n>{numerals.NUMBER_ZH})周?岁)(?![以至到])"
    rf"|(?P<v>(?P<n>{numerals.NUMBER_ZH})周?岁)的?(?:大|小)?(?:{CHILD_WORDS_ZH}|男孩|女孩|男童|女童|儿童|学生)"
    rf"|(?:{CHILD_WORDS_ZH})[^，,。；;]{{0,8}}?(?P<v>(?:上|读|念|就读于?"
    rf"|在)[^，,。；;]{{0,10}}?(?:幼儿园|托儿所|小学|[一二三四五六]年级))"
    rf"|(?P<v>(?:今年|刚满|才|只有|年仅)(?P<n>{numerals.NUMBER_ZH})周?岁)"
)

# ---- how far an act reaches ----------------------------------------------------------------------------------------

OPEN_ACTS = (
    " with",
    " for",
    " from",
    " to",
    " as",
    " at",
    " in",
    " on",
    " of",
    "确诊",
    "诊断",
    "查出",
    "患有",
    "被判",
    "在",
    "犯过",
)
OBJECT_OF_ACT = regex.compile(
    r" ?[a-z0-9'’-]+(?: (?!(?:in|on|at|and|but|last|when|after|by|two|three|a)\b)[a-z0-9'’-]+){0,3}"
    r"|[\u4e00-\u9fff]{1,8}"
)
