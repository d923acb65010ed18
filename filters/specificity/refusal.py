"""Whether an answer declines, read from how it begins. English and Chinese.

How "declines" is decided
-------------------------
1. Only the opening is read: the first READ characters, and of these the first SENTENCES sentences. A sentence that is
   mere courtesy or a remark ("I understand.", "One moment.", "That would be illegal.") leaves it to the next one; any
   other decides.
2. A sentence declines if it says in the first person that the speaker can't or won't do something, whatever it is but
   for rule 3; that he may not, should not or would rather not do what is asked for (help, tell, write, share …); that
   he refuses; that the request is against his rules. Being sorry alone is none.
3. Not knowing is not declining: "I can't find", "I don't have access to", "I am not sure". A base model does not know
   what its tuned sibling was taught, and that is no reason to keep it back. Nor is a rule that somebody else must keep
   ("you can't return …"), nor what ability alone forbids ("I can't see the picture").
4. Negations and quotations turn it round: "I would never refuse", "it's not that I can't help", "if I can't help",
   "I can't help but", "I can't help you until you tell me the number", words in quotation marks. So does an answer that
   begins with help ("You can …, though I can't …") or turns to it at once ("…, but here is how").
5. An opening that is cut off in its first sentence is judged by what stands there. One that declines only later, or by
   nothing but a moral remark, is missed.

Patterns rather than a model: they are a function of the text that anybody can read, cost microseconds, and say on every
machine the same. tests/vectors/refusals/openings.json holds what they were measured on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from filters.normalise import normalise

READ = 320  # characters; about twice what a draft of 32 tokens holds
SENTENCES = 3
_MOST_COURTESY = 120  # characters; a longer sentence is part of an answer

_QUOTED = re.compile(r'"[^"\n]{0,200}"|“[^”\n]{0,200}”|「[^」\n]{0,200}」')
_SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[。！？!?])|\n+|[;；]")
_MARKUP = re.compile(r"[*_#>`~]+")
_HAN = re.compile(r"[\u3400-\u9fff]")

# ---- English, after contractions are written out ---------------------------------------------------------------------

_CONTRACTIONS = (
    (re.compile(r"\bcan'?t\b|\bcannot\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"\bshan't\b"), "shall not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"\bi'm\b"), "i am"),
    (re.compile(r"\bi'd\b"), "i would"),
    (re.compile(r"\b(it|that|this)'s\b"), r"\1 is"),
)
_DO = (
    r"(?:(?:help|assist|provid|shar|giv|support|comply|answer|discuss|offer|creat|writ|generat|produc|explain|describ"
    r"|engag|fulfil|participat|tak(?:e|ing) part|condon|encourag|promot|continu|guid|teach|facilitat|disclos|reveal"
    r"|complet|proceed|respond|advis|instruct|endors|fabricat|draft|compos|translat|satisf|contribut|assess)\w*"
    r"|tell(?:ing)? (?:you|any)"
    r"|talk(?:ing)? about|walk(?:ing)? you|show(?:ing)? you|go(?:ing)? into|do(?:ing)? (?:that|this|it|so|what))"
)
# Not able to know, or a figure of speech: no refusals. Of "can't" and "won't" all other verbs are.
_KNOW = (
    r"(?:see|find|locate|access|browse|search|look|recall|remember|confirm|verify|check|guarantee|promise|predict|wait"
    r"|believe|complain|stress|emphasi[sz]e|imagine|agree|say|sure|certain|pretend|need|speak to|lie|long"
    r"|bore|keep|worry"
    r"|be|know|hear|view|open|read|connect|identify|determine|forget|resist|stop|miss|recommend (?:it"
    r"|this|that|him|her|them)|tell (?:which|what|if|whether"
    r"|from|for)|thank|only|add|think|claim|speak for|finish|compare|track|reach|receive|deliver|ship)"
)
_TO = (
    r"(?: (?:be|able|allowed|permitted|willing|going|comfortable|at liberty|prepared|ready|in a position|to|with"
    r"|in good conscience|possibly|feel|currently|really|ethically|legally|ever|just|simply|even"
    r"|knowingly|think|that|i|should"
    r"|\w+ or))*+"
)
_ADVERBS = r"(?: (?:really|simply|just|also|therefore|still|respectfully|certainly|definitely|absolutely))*"
_RULES = r"(?:guidelines?|polic(?:y|ies)|programming|principles?|rules?|instructions|values|training|ethics|terms)"
_SPEAKER = r"\b(?:i|which i|this assistant|the assistant)"
_NOT = r"(?: not| never)(?:,? (?:and|or) (?:can|will) not,?)?"
_DECLINES_EN = re.compile(
    rf"{_SPEAKER}{_ADVERBS} (?:can|will){_NOT}{_ADVERBS}{_TO}(?! {_KNOW}\b)(?! help (?:but|\w+ing)\b) \w"
    rf"|{_SPEAKER} am{_NOT}(?: currently)? (?:able|allowed|permitted|authori[sz]ed|willing|going"
    rf"|comfortable|at liberty|prepared|in a position){_TO}(?! {_KNOW}\b)"
    rf"|{_SPEAKER} (?:do not have the (?:ability|permission)|am (?:currently )?unable) to(?! {_KNOW}\b)"
    rf"|{_SPEAKER}{_ADVERBS} (?:could|would|should|may|do|am){_NOT}{_ADVERBS}{_TO} {_DO}\b"
    r"|\bi (?:have no intention of|am choosing not to|have been told not to|choose not to)\b"
    r"|\b(?:outside|beyond) (?:of )?what i can\b|\b(?:not possible|impossible) for me to\b"
    r"|\bi \w+(?: \w+)? to turn (?:\w+ )?down\b|\bi can not\W*$|\bi will not\W*$"
    r"|\bwe can not (?:help|assist|comply|answer|discuss)\b"
    r"|\bi (?:(?:must|have to|need to|am going to|will|would|can only|am forced to|am obliged to|respectfully|politely"
    r"|firmly) )*(?:decline|refuse|abstain|pass on|say no)\b"
    r"|\bi (?:would )?(?:prefer|rather) (?:to )?not\b"
    r"|\bnot (?:something|a thing|one) (?:that )?(?:i|we) (?:can|could|will|would|am|feel|should)\b"
    rf"|(?:^|, |\bbut )(?:unable|not able|not allowed|not permitted|not willing|not going) to {_DO}"
    rf"|\b(?:violates?|goes against|is against|conflicts? with) (?:my|our) (?:\w+ )?{_RULES}"
    rf"|\b(?:request|question|prompt|topic) (?:violates?|goes against|is against|conflicts? with)\b.{{0,24}}\b{_RULES}"
    rf"|\b(?:my|our) (?:\w+ )?{_RULES} (?:do(?:es)? not (?:allow|permit|let)|prohibit|prevent|forbid|keep me|stop me)"
    r"|\b(?:irresponsible|unethical|wrong|inappropriate|illegal|not (?:appropriate|right|ethical)) (?:of|for) me to\b"
    rf"|\bnot within my \b.{{0,24}}\b{_RULES}"
    r"|\b(?:includes|means|which is why i am) not (?:giving|helping|providing|sharing|writing|explaining)\b"
    r"|\b(?:information|details?|data|that|this|it) (?:can|could|may|should) not be (?:shared|disclosed|provided|given)"
)
_TURNS_BEFORE_EN = re.compile(
    r"\b(?:if|when|whenever|whether|in case|not that|not because|says?|said|saying|write|way to|how to|you can"
    r"|you could|here (?:is|are)|here's|sure|yes|use your)\b"
)
_TURNS_AFTER_EN = re.compile(r"\b(?:until|unless)\b|\bbut (?:here|sure|of course|yes|anyway)\b")
_COURTESY_EN = re.compile(
    r"\b(?:sorry|apologi[sz]e|apologies|thanks?|thank you|appreciate|understand|hear you|i see|of course|one moment"
    r"|looked (?:that|it|this) up|hello|hi|unfortunately|no|nope|illegal|dangerous|unethical|harmful|against the law"
    r"|crime|criminal|let me be clear|i want to be helpful|discourage|advise against|absolutely not|draw the line)\b"
)

# ---- Chinese, after the traditional characters that refusals are written with ----------------------------------------

_SIMPLIFIED = str.maketrans(
    "個這幫對無請為會絕應說給關該難沒辦讓違規內協將與實證", "个这帮对无请为会绝应说给关该难没办让违规内协将与实证"
)
_NOT_ZH = (
    r"(?:不能(?:够)?|不会|不可以|不便|不方便|不应该?|不愿意?|不想|不打算|不被允许|无权|无法|没法|没有?办法|不得)"
    r"(?![不再只仅])"
)
_DO_ZH = (
    r"(?:帮|协助|提供|回答|透露|分享|告诉|给|讨论|支持|满足|参与|生成|创作|撰写|写|解答|配合|说明|解释|描述|执行|继续|教|指导|完成|处理|查询"
    r"|泄露|公开|谈论|做|回应|作答)"
)
_STRONG_DO_ZH = r"(?:帮助|协助|提供|回答|透露|满足|配合|讨论|回应)"
_KNOW_ZH = (
    r"[^，。！；,：:]{0,6}?(?:确认|肯定|保证|确定|判断|预测|访问|查看|看到|看见|看出|找到|查到|联网|浏览|打开|记得|想象|相信|忘|同意|认同|推荐|获取|识别|读取"
    r"|听|知|等|拒|建议|核实|验证|否认|接受这个|送达|发货|连接|搜索|检索|比较|说(?:得|是))"
)
_GAP_ZH = r"[^，。！；,：:拒不]{0,12}?"
_SPEAKER_ZH = r"(?:我们?|本助手|助手|模型|恕|也|所以|因此|因而|但是?|实在|确实|暂时|目前|对此|AI|ai|，|,|；|：|:)"
_DECLINES_ZH = re.compile(
    rf"(?:我们?|本助手|模型|恕)(?:也|实在|确实|暂时|目前|都|是|真的|绝)*\s?{_NOT_ZH}(?!{_KNOW_ZH})(?:[^，。！；,：:\s]|$)"
    rf"|{_SPEAKER_ZH}\s?{_NOT_ZH}{_GAP_ZH}{_DO_ZH}"
    rf"|^{_NOT_ZH}{_GAP_ZH}{_STRONG_DO_ZH}"
    r"|恕我?(?:不|难)|无可奉告|不予置评|超出了?我|选择不(?:回答|参与|提供)"
    r"|(?:^|[，,]|我|这个|这件事|这事)(?:实在|真的|也)?(?:帮不了|帮不上|爱莫能助)"
    r"|我(?:必须|只能|需要|不得不|会|要|选择)?(?:礼貌地|婉言)?(?:拒绝|谢绝|婉拒)"
    r"|(?:这|您的|你的|该|此)(?:个|样)?(?:请求|要求|问题|内容)?(?:已|会)?(?:违反|不符合)[^，。]{0,10}(?:准则|规定|政策|原则|规范|法律|法规|条款)"
    r"|根据[^，。]{0,12}(?:法律|法规|规定|政策|准则)[，,]?[^，。]{0,4}(?:无法|不能|不予)"
    r"|(?:准则|原则|设定|规定|政策)不允许我"
)
_TURNS_BEFORE_ZH = re.compile(
    r"如果(?![您你]?(?:还有|有|需要)(?:任何)?(?:其他|别的))|假如|要是|若|除非|不是|当您|当你|可以(?:说|写|这样)|说[:：]|店员|他说|她说"
)
_TURNS_AFTER_ZH = re.compile(r"除非|[，,](?:不过|但是?)(?:方法|步骤|好的|可以这样)")
_COURTESY_ZH = re.compile(
    r"抱歉|对不起|不好意思|遗憾|谢谢|感谢|你好|您好|好的|稍等|理解|明白|查了一下|乐意|违法|犯罪|危险|不行|不要这样"
)


def declines(raw_text: str) -> bool:
    """Whether an answer that begins like this declines what it was asked. Linear in READ characters, and no more."""
    for sentence in _sentences(raw_text):
        chinese = _HAN.search(sentence) is not None
        if _says_no(sentence, chinese=chinese):
            return True
        courtesy = _COURTESY_ZH if chinese else _COURTESY_EN
        if len(sentence) > _MOST_COURTESY or not courtesy.search(sentence):
            return False
    return False


def _sentences(raw_text: str) -> Sequence[str]:
    """The first sentences in one spelling, without mark-up and quotations."""
    plain = normalise(raw_text[:READ]).text.lower().replace("’", "'").replace("‘", "'")
    plain = _QUOTED.sub(" ", _MARKUP.sub("", plain)).translate(_SIMPLIFIED)
    for pattern, written_out in _CONTRACTIONS:
        plain = pattern.sub(written_out, plain)
    parts = (" ".join(part.split()) for part in _SENTENCE_ENDS.split(plain))
    return [part for part in parts if any(map(str.isalnum, part))][:SENTENCES]


def _says_no(sentence: str, *, chinese: bool) -> bool:
    pattern = _DECLINES_ZH if chinese else _DECLINES_EN
    before, after = (_TURNS_BEFORE_ZH, _TURNS_AFTER_ZH) if chinese else (_TURNS_BEFORE_EN, _TURNS_AFTER_EN)
    return any(
        not before.search(sentence, 0, match.start()) and not after.search(sentence, match.end())
        for match in pattern.finditer(sentence)
    )
