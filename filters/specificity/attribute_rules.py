"""How traits are said, English and Chinese: patterns, each behind the words that must stand in a text to run it.

A pattern's group "v" is what is replaced if the trait must be generalised; its group "n", where it has one, is the
number in it. All lengths are bounded, so that the work at a place is; view.scan bounds the time of the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import regex

from filters.numerals import NUMBER_EN, NUMBER_ZH
from filters.specificity import trait_values as values
from filters.specificity.crowd_tables import Kind, TraitPath
from filters.specificity.trait_values import DATE_EN, DATE_ZH

DIGIT = "#digit"  # a gate that is no word: any digit opens it

Read = Callable[[str], TraitPath | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """`read` is None for kinds whose words the tables hold, or that have no parts: places, jobs, employers."""

    kind: Kind
    gates: tuple[str, ...]
    pattern: Any
    read: Read | None = None


def _rule(kind: Kind, gates: str, pattern: str, read: Read | None = None) -> Rule:
    return Rule(kind, tuple(gates.split()), regex.compile(pattern), read)


_AFTER_EN = (
    r"(?=\s*(?:[,.;:!?)\n]|at\b|for\b|in\b|with\b|and\b|but\b|who\b|on\b|since\b|from\b|last\b|when\b|after\b|$))"
)
_NAME_EN = r"[A-Z][\w'’-]*(?:(?: (?:of|upon|on|the|and|&|de|le))?,? ?(?<= )[A-Z][\w'’-]*){0,4}"
_PLACE_EN = (
    r"(?!(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mon|Tue|Wed|Thu|Fri|Sat|Sun|I\b"
    r"|The\b))[A-Z][\w'’-]*(?:(?: (?:of|upon|on|the|in))? [A-Z][\w'’-]*){0,3}"
)
_WHO = r"(?:I|[Hh]e|[Ss]he|[Tt]hey|who|customer|patient|client|employee|member|user|[A-Z][a-z]+)"
_UNIT = (
    r"(?!\s*(?:%|per|percent|minutes?|hours?|days?|weeks?|months?|km|kg|cm|miles?|points?|feet|inch"
    r"|metres|meters))"
)

_ENGLISH = (
    # ---- age
    _rule(Kind.AGE, "years", r"(?P<v>(?P<n>[1-8]0) to [1-8]9 years old)|(?P<v>(?P<n>90) or older)", values.age_decade),
    _rule(
        Kind.AGE,
        "year years yr yrs",
        (
            rf"(?i)(?<![\d.,$£€#-])(?<![a-z])(?<!\d to )(?P<v>(?P<n>{NUMBER_EN})[- ]?(?:years?|yrs?)[- ](?:old"
            rf"|of age))(?! (?:whisky|whiskey|wine|house|building|car|church|tree|company|bridge|tablet|phone"
            rf"|laptop|law|rule|custom|tradition|firm|business|dog|cat|puppy|kitten|horse|club|site|system"
            rf"|server|device|printer))"
        ),
        values.age,
    ),
    _rule(Kind.AGE, "yo y", r"(?<![\d.])(?P<v>(?P<n>\d{1,2}) ?y/?o)(?!\w)", values.age),
    _rule(
        Kind.AGE,
        "aged age",
        (
            rf"(?i)(?<![a-z])(?P<v>(?:aged|at (?:the )?age(?: of)?|age(?: is| was"
            rf"| of)?) (?P<n>{NUMBER_EN}))(?![\d\w-]){_UNIT}(?! (?:to|or|and over|and under))"
        ),
        values.age,
    ),
    _rule(
        Kind.AGE,
        "turned turns turning turn",
        rf"(?i)\bturn(?:ed|s|ing)? (?P<v>(?P<n>{NUMBER_EN}))(?![\w%-]){_UNIT}",
        values.age,
    ),
    _rule(
        Kind.AGE,
        "i he she who they is was",
        (
            rf"\b{_WHO}(?:['’][sm]| am| is| was| are|['’]re|['’]ll be| will be)(?: now| only| just| already"
            rf"| about)? (?P<v>(?P<n>{NUMBER_EN}))(?=\s*(?:[,.;!)]|and\b|but\b|now\b|with\b|in [A-Z]|$)){_UNIT}"
        ),
        values.age,
    ),
    _rule(
        Kind.AGE,
        DIGIT,
        r"\b[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)? ?(?:, |\()(?P<v>(?P<n>[1-9]\d))(?=[,)])(?!, \d)",
        values.age,
    ),
    _rule(
        Kind.AGE,
        f"twenties thirties forties fifties sixties seventies eighties nineties {DIGIT}",
        (
            r"(?i)\b(?:his|her|their) (?:early |mid[ -]?|late )?(?P<v>(?P<n>(?:twen|thir|for|fif|six|seven"
            r"|eigh|nine)ties|[2-9]0s))\b"
        ),
        values.age_decade,
    ),
    _rule(
        Kind.AGE,
        "something",
        rf"(?i)(?<![\w.])(?P<v>(?P<n>{NUMBER_EN})[- ]something)\b",
        values.age_decade,
    ),
    _rule(
        Kind.AGE,
        "of",
        rf"\b(?:man|woman|boy|girl|person) of (?P<v>(?P<n>{NUMBER_EN}))(?![\w-]){_UNIT}(?! [a-z])",
        values.age,
    ),
    # ---- where
    _rule(
        Kind.PLACE,
        "village town city suburb",
        rf"\b(?:village|town|city|suburb) (?:called|named|of) (?P<v>{_PLACE_EN})",
    ),
    _rule(Kind.PLACE, "based born", r"\b(?P<v>[A-Z][\w’'.]*(?: [A-Z][\w’'.]*){0,2})-(?:based|born)\b"),
    _rule(
        Kind.PLACE,
        "lives live living lived resides residing resident based born raised grew moved relocated "
        "settled hails comes "
        "staying stays hometown native home",
        r"\b(?:[Ll]iv(?:es?|ing|ed)|[Rr]esid(?:es?|ing|ed)|resident|based|located|born|raised|grew up|moved(?: back)?"
        r"|relocated|settled|hails|comes|stay(?:s|ing|ed)|native|home)(?: [a-z]+){0,2}? (?:in|from|to|at"
        r"|near|of|outside) "
        rf"(?P<v>{_PLACE_EN})",
    ),
    _rule(
        Kind.PLACE,
        "from",
        (
            rf"\b(?:[Hh]e|[Ss]he|who|[a-z]+(?:er|or|ist|ant|ent|ian|man|woman|boy|girl|person)) (?:is "
            rf"|was )?from (?P<v>{_PLACE_EN})"
        ),
    ),
    # ---- work
    _rule(
        Kind.EMPLOYER,
        "works work worked working employed hired job position role career interned staff employee drives cooks cleans "
        "teaches runs manages",
        r"\b(?:drives|cooks|cleans|teaches|runs|manages|[Ww]ork(?:s|ed|ing)?|employed|hired|job|position|role|career|interned|staff"
        r"|employee)(?: [a-z][\w-]*){0,5}? "
        rf"(?:at|for|by|with|of) (?:the )?(?P<v>{_NAME_EN})",
    ),
    _rule(
        Kind.EMPLOYER,
        "joined joining runs founded owns",
        rf"\b(?:joined|joining|runs|founded|owns) (?:the )?(?P<v>{_NAME_EN})",
    ),
    _rule(
        Kind.JOB,
        "as",
        r"\b(?:[Ww]ork(?:s|ed|ing)?|employed|job|career|serv(?:es?|ed|ing)|trained|hired"
        r"|retrained|living)(?: [a-z]+){0,2}? as "
        rf"(?P<v>(?:an?|the|our|their) [a-z][\w-]*(?: [a-z][\w-]*){{0,3}}?){_AFTER_EN}",
    ),
    # ---- health
    _rule(
        Kind.ILLNESS,
        "diagnosed suffers suffer suffering suffered treated treatment",
        r"(?i)\b(?:diagnosed (?:with|as having)|suffer(?:s|ed|ing)? from|treated for|treatment for) "
        rf"(?P<v>(?!(?:{NUMBER_EN}|many|several|a few) )[a-z'’-]+(?: [a-z0-9'’-]+){{0,3}}?){_AFTER_EN}",
    ),
    # ---- origin
    _rule(
        Kind.ETHNICITY,
        "descent heritage origin ancestry extraction",
        (
            r"\b(?P<v>(?:of )?(?P<n>(?!Th|It|His|Her|Our|My)[A-Z][\w’'-]+(?:[ -][A-Z][\w’'-]+)?) (?:descent"
            r"|heritage|origin|ancestry|extraction))\b"
        ),
        lambda written: (written.lower(),),
    ),
    _rule(
        Kind.ETHNICITY,
        "black white asian indian pakistani polish nigerian somali turkish identifies",
        r"\b(?:is|was|an?|identifies as) (?P<v>(?P<n>Black|White|Asian|Indian|Pakistani|Polish|Nigerian"
        r"|Somali|Turkish))"
        r"(?=[.,;]| (?:and|man|woman|male|female|boy|girl|person|customer|patient|client|student|employee"
        r"|guy|lady)\b)",
        lambda written: (written.lower(),),
    ),
    # ---- education
    _rule(
        Kind.SCHOOL,
        (
            "graduated graduate alumnus alumna studied studies attended attends enrolled educated degree "
            "phd mba doctorate read"
        ),
        r"\b(?:[Gg]raduated? (?:from|of)|alumn(?:us|a) of|(?:stud(?:ied|ies)|read"
        r"|reads)(?: [a-z]+){0,3} at|attend(?:ed"
        r"|s)|enrolled (?:at|in)"
        r"|educated at|(?:degree|PhD|MBA|doctorate)(?: in [a-z ]{2,30}?)? (?:from|at)) "
        rf"(?:the )?(?P<v>{_NAME_EN})",
    ),
    # ---- dates
    _rule(
        Kind.BIRTH,
        "born birthday birth dob",
        rf"\b(?:[Bb]orn(?: (?:in|at|to|near) [\w ,'’-]{{1,30}}?)?,?(?: on| in)?|[Bb]irthday,?(?: is| was"
        rf"| falls)?(?: on)?(?: the)?"
        rf"|[Dd]ate of birth(?: is| was| of)?|(?i:dob)(?: is)?) (?P<v>{DATE_EN})",
        values.date,
    ),
    _rule(
        Kind.WEDDING,
        "married wed wedding knot anniversary",
        r"\b(?:[Mm]arried|wed|[Ww]edding|tied the knot|anniversary)(?: [\w'’]+,?){0,6}? "
        rf"(?:on|in|since|was|is|of)(?: the)? (?P<v>{DATE_EN})",
        values.date,
    ),
    _rule(
        Kind.JOINING,
        "joined hired started employed employee member customer client working worked works appointed enrolled",
        r"\b(?:[Jj]oined|[Hh]ired|[Ss]tarted|employed|employee|member|customer|client|work(?:ing|ed|s)"
        r"|appointed|enrolled)"
        rf"(?: [\w'’&.-]+,?){{0,6}}? (?:on|in|since|from) (?P<v>{DATE_EN})",
        values.date,
    ),
    # ---- family
    _rule(
        Kind.CHILDREN,
        "mother father parent mum mom dad grandmother grandfather",
        (
            rf"(?i)\b(?P<v>(?:an? |the )?(?:single |widowed |divorced |proud |working )?(?:mother|father"
            rf"|parent|mum|mom|dad|grandmother|grandfather) (?:of|to) (?P<n>{NUMBER_EN}))(?![\w-])"
        ),
        values.children,
    ),
    _rule(
        Kind.CHILDREN,
        "children kids child kid sons son daughters daughter boys girls toddlers toddler baby",
        r"(?i)\b(?:has|have|had|with|raising|raises|raised|and|her|his|their|expecting) "
        rf"(?P<v>(?P<n>an?|{NUMBER_EN}) (?:(?:small|young|little|teenage|adult|grown|grown-up|adopted|school-age) )?"
        r"(?:children|kids?|child|sons?|daughters?|boys|girls|toddlers?|baby))\b",
        values.children,
    ),
    _rule(
        Kind.MARITAL,
        "single",
        r"\b(?:is|was|remains|still|currently) (?P<v>single)(?=[,.;]| and\b| with\b|$)",
        lambda written: ("single",),
    ),
)

_ORG_ZH = (
    r"(?:公司|集团|医院|银行|大学|学院|中学|小学|学校|幼儿园|工厂|厂|事务所|研究所|研究院|研究中心|局"
    r"|委员会|法院|检察院|派出所"
    r"|超市|酒店|餐厅|饭店|书店|药店|商店|药房|店|科技|网络|电器|航空|出版社|报社|电视台|物流|证券"
    r"|保险|基金会|社区|车站|机场)"
)
_HAN = r"[\u4e00-\u9fff]"
_ORG_NAME_ZH = r"[\u4e00-\u9fffA-Za-z0-9·]{2,16}?"

_CHINESE = (
    _rule(Kind.AGE, "岁", r"(?P<v>(?P<n>[1-8]0)[至到][1-8]9岁)|(?P<v>(?P<n>90)岁以上)", values.age_decade),
    _rule(
        Kind.AGE,
        "岁",
        rf"(?<![\d.多至到])(?P<v>(?P<n>{NUMBER_ZH})周?岁(?:半)?)(?![月末首尾以之至到])",
        values.age,
    ),
    _rule(
        Kind.AGE,
        "年龄 今年 现年",
        rf"(?:年龄|今年|现年)(?:是|为|约)? ?(?P<v>(?P<n>{NUMBER_ZH}))(?=[，,。；;、 ]|$|了)",
        values.age,
    ),
    _rule(
        Kind.AGE,
        "多岁 出头 几岁 年近 年过 年逾",
        (
            r"(?P<v>(?P<n>[二三四五六七八九]十|[2-9]0)(?:多岁|出头|几岁|来岁))|(?P<v>年[近过逾](?P<n>半百"
            r"|而立|不惑|花甲|古稀|耄耋|[二三四五六七八九]十))"
        ),
        values.age_decade,
    ),
    _rule(Kind.BIRTH, "后", r"(?<!\d)(?P<v>(?P<n>[5-90-1]0)后)(?!\d)", values.birth_decade),
    _rule(
        Kind.PLACE,
        "住在 居住 现居 现住 家住 定居 来自 生于 出生 籍贯 祖籍 老家 户籍 户口 搬到 搬去 迁居 常驻 生活在 人士",
        r"(?:住在|居住在|居住于|现居|现住|家住|定居(?:在|于)?|来自|(?:出)?生于|出生在|籍贯(?:是|为)?|祖籍"
        r"|老家(?:在|是)?|户籍(?:地|在|是)?"
        r"|户口在|搬到|搬去|迁居|常驻|生活在)了?"
        rf"(?P<v>{_HAN}{{1,8}}?(?:省|市|县|区|镇|村|州|乡|旗|岛|街道))",
    ),
    _rule(Kind.PLACE, "人士", rf"(?:是|为|系)(?P<v>{_HAN}{{2,5}}?)人士"),
    _rule(
        Kind.EMPLOYER,
        "就职 任职 供职 受雇 服务于 效力 入职 加入 上班 工作 担任 实习 员工 职工 当 做",
        rf"(?:就职于|任职于|供职于|受雇于|服务于|效力于|入职了?|加入了?)(?P<v>{_ORG_NAME_ZH}{_ORG_ZH})"
        rf"|在(?P<v>{_ORG_NAME_ZH}{_ORG_ZH})(?=里?(?:工作|上班|担任|任|当|做|实习|从事|就职))"
        rf"|(?:是|为|系)(?P<v>{_ORG_NAME_ZH}{_ORG_ZH})的?(?:员工|职工|老板|经理|主任)",
    ),
    _rule(
        Kind.JOB,
        "职业 从事 担任 一名 一位 职务 岗位 工种",
        (
            rf"(?:职业(?:是|为)|从事的?(?:是)?|担任|是一[名位]|当一[名位]|职务(?:是|为)|岗位(?:是"
            rf"|为))(?P<v>{_HAN}{{2,8}}?)(?=工作|行业|相关|[，,。；;、！!\s]|$)"
        ),
    ),
    _rule(
        Kind.ILLNESS,
        "确诊 患有 患上 罹患 诊断 得了 身患",
        (
            rf"(?:确诊(?:为|了|患有)?|患有|患上了?|罹患|身患|被诊断(?:为|出|患有)|诊断为"
            rf"|得了)(?P<v>{_HAN}{{1,9}}?(?:病|症|炎|癌|瘤|征|障碍|感染|疮|疹))"
        ),
    ),
    _rule(
        Kind.SCHOOL,
        "毕业 就读 考入 考上 母校",
        (
            rf"(?:毕业于|就读于|就读|考入了?|考上了?|母校(?:是|为))(?P<v>{_HAN}{{2,14}}?(?:大学|学院|中学|高中"
            rf"|小学|学校|[一二三四五六七八九]中|附中|党校))"
        ),
    ),
    _rule(
        Kind.BIRTH,
        "出生 生于 生日 诞生",
        (
            rf"(?:出生于|生于|出生日期(?:是|为)|出生年月(?:是|为)|生日(?:是|为|在)) ?(?P<v>{DATE_ZH})"
            rf"|(?P<v>{DATE_ZH})(?:出生|生(?![产活意]))"
        ),
        values.date,
    ),
    _rule(
        Kind.WEDDING,
        "结婚 完婚 成婚 婚礼 婚于",
        rf"(?:结婚(?:于|日期(?:是|为)|纪念日(?:是|为))|成婚于|婚于|婚礼(?:在|于|定于)) ?(?P<v>{DATE_ZH})"
        rf"|(?P<v>{DATE_ZH})[^，,。；;]{{0,8}}?(?:结婚|完婚|成婚|举行婚礼|办了婚礼)",
        values.date,
    ),
    _rule(
        Kind.JOINING,
        "入职 加入 入会 参加工作 到岗 开户 入伍",
        rf"(?:入职(?:于|日期(?:是|为)|时间(?:是|为))|加入[^，,。；;]{{0,14}}?于|入会于|入伍于|开户于"
        rf"|自) ?(?P<v>{DATE_ZH})"
        rf"|(?P<v>{DATE_ZH})[^，,。；;]{{0,10}}?(?:入职|加入|入会|到岗|参加工作|开户|入伍)",
        values.date,
    ),
    _rule(
        Kind.CHILDREN,
        "孩子 子女 小孩 儿子 女儿 宝宝 娃",
        (
            r"(?:育有|有|生了|抚养|带着|养育|是)[了着]?(?P<v>(?P<n>[一二两三四五六七八\d])(?:个|名"
            r"|位)?(?:未成年)?(?:孩子|子女|小孩|儿子|女儿|娃|宝宝))"
        ),
        values.children,
    ),
    _rule(
        Kind.CHILDREN,
        "育有 膝下",
        r"(?:育有|膝下有?)(?P<v>(?P<n>[一二两三四])(?:子|女|儿))(?![女子])",
        values.children,
    ),
    _rule(
        Kind.CHILDREN,
        "一女 一子 两女 二女 一儿",
        r"(?P<v>[一二两三](?:子|儿)[一二两三]女)",
        lambda written: ("some", "many"),
    ),
)

# What a label in front of a value says of its kind, in records: "City: Leeds", 民族：汉族.
_LABEL_KINDS = {
    Kind.AGE: r"age|年龄",
    Kind.GENDER: r"gender|sex|性别",
    Kind.PLACE: r"city|town|location|home ?town|residence|place of birth|birthplace|region|county|state|country"
    r"|城市|所在地|所在城市|居住地|常住地|籍贯|户籍地?|出生地|地区",
    Kind.EMPLOYER: r"employer|company|workplace|employed by|工作单位|单位|公司|雇主|任职公司",
    Kind.JOB: r"occupation|profession|job(?: title)?|job_title|position|职业|职务|岗位|职位",
    Kind.ILLNESS: r"diagnosis|condition|illness|medical history|诊断|疾病|病史|既往病史|病情",
    Kind.ETHNICITY: r"ethnicity|ethnic group|race|民族|族裔",
    Kind.EDUCATION: r"education|degree|qualification|学历|文化程度|学位|教育程度",
    Kind.SCHOOL: r"school|university|college|alma mater|毕业院校|学校|毕业学校|母校",
    Kind.BIRTH: r"date of birth|dob|birth ?date|birthday|born|出生日期|生日|出生年月",
    Kind.WEDDING: r"wedding(?: date| anniversary| day)?|married on|结婚日期|结婚纪念日|婚期",
    Kind.JOINING: (
        r"joined|join(?:ing)? date|start date|hire date|member since|customer since|入职日期|入职时间"
        r"|入会日期|开户日期"
    ),
    Kind.CHILDREN: r"children|kids|dependants|dependents|子女|孩子|子女数",
    Kind.MARITAL: r"marital status|relationship status|婚姻状况|婚姻|婚否",
}
_READ_LABELLED: dict[Kind, Read] = {
    Kind.AGE: lambda written: values.age(written.removesuffix("岁").removesuffix(" years").removesuffix(" years old")),
    Kind.BIRTH: values.date,
    Kind.WEDDING: values.date,
    Kind.JOINING: values.date,
    Kind.CHILDREN: lambda written: values.children(written.rstrip("个名人 ")),
}


def _labelled(kind: Kind, labels: str) -> Rule:
    pattern = (
        rf"(?i)(?<![a-z\u4e00-\u9fff])(?:{labels})[\"'*]{{0,3}} ?[:：=] ?[\"'*]{{0,3}} ?"
        r"(?P<v>[^\W_][^\"'”’*;,|，；。\n：:{}\[\]]{0,39}?)(?=\s*(?:[\"'”’*;,|，；。\n}\]]|\.(?:\s|$)|$"
        r"| [A-Za-z\u4e00-\u9fff]+[:：]))"
    )
    return Rule(kind, (), regex.compile(pattern), _READ_LABELLED.get(kind))


RULES: tuple[Rule, ...] = _ENGLISH + _CHINESE
LABELLED: tuple[Rule, ...] = tuple(_labelled(kind, labels) for kind, labels in _LABEL_KINDS.items())

# Behind a job or a place that the tables name, and before a place.
EMPLOYER_BEHIND_JOB = regex.compile(rf" (?:at|for|with) (?:the )?(?P<v>{_NAME_EN})")
HOME_BEFORE = regex.compile(
    r"(?i)\b(?:liv(?:es?|ing|ed)|resid(?:es?|ing|ed)|resident|based|born|raised|grew up|moved"
    r"|relocated|settled|hails|comes|stay(?:s|ing|ed)"
    r"|childhood|youth|native|home|house|flat|apartment|work(?:s|ed|ing)?|job|office|studie[sd]|teaches|practi[sc]es"
    r"|hometown|city|town|location|region|"
    r"county|birthplace|residence|customer|client|patient|tenant|employee|woman|man|boy"
    r"|girl)\b[^.!?;:。！？；]{0,40}\b(?:in|from|of|near|to|at|around|outside|is|was)\W{1,3}$"
    r"|\b(?:city|town|location|region|county|state|country|residence"
    r"|birthplace)[\"'*]{0,3} ?[:=] ?[\"'*]{0,3}$|\b(?:(?:he|she|who)(?:'s| is| was|’s)? from|here in) $"
    r"|(?:住|居|来自|生于|出生|籍贯|祖籍|老家|户籍|户口|定居|搬[到去]|长大|生活|城市|所在地|地区|家在"
    r"|常驻|老家)[^,，.。;；]{0,12}$|[他她我](?:是|在)$|(?:士|姐|生|户|者|人|员)(?:是|在)$"
)
HOME_BEHIND = regex.compile(
    r"(?i)[- ](?:based|born|native|resident|residents?)\b|(?:[省市])?(?:本地"
    r"|当地)?人(?![民口工才均事物心情行数类员])|[^,，.。;；]{0,6}(?:长大|居住|定居|生活|出生|工作"
    r"|上班)"
)
DISTRICT_BEHIND_PLACE = regex.compile(
    rf"[省市]?(?P<v>{_HAN}{{1,4}}?(?:(?<![教校社专园景战灾疫地小山牧])区|[县镇乡村]))(?![域别分])"
)
