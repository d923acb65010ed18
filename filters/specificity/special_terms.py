"""Words of the special categories of personal data, English and Chinese, by how they are tied to a person.

- topics: things (an illness, a faith, a debt): they count with a verb of having or an owner before them.
- people: what somebody is (diabetic, a Buddhist): they count behind a form of "be", or in front of a person.
- acts: what somebody did or does (was convicted): they count behind the person.
- beside: acts that count with a number or a place and a time behind them only (earns, is in).

Illnesses and ethnic groups come from the shipped crowd tables besides (crowd_tables.py). The categories are those of
Art. 9 and 10 GDPR and Art. 28 of China's Personal Information Protection Law.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

TOPIC, PERSON, ACT, BESIDE = "topic", "person", "act", "beside"

HEALTH = "SPECIAL_HEALTH"
RELIGION = "SPECIAL_RELIGION"
POLITICS = "SPECIAL_POLITICS"
UNION = "SPECIAL_UNION"
SEXUALITY = "SPECIAL_SEXUALITY"
ETHNICITY = "SPECIAL_ETHNICITY"
BIOMETRIC = "SPECIAL_BIOMETRIC"
FINANCE = "SPECIAL_FINANCE"
WHEREABOUTS = "SPECIAL_WHEREABOUTS"
CRIME = "SPECIAL_CRIME"
CHILD = "SPECIAL_CHILD"

KINDS = (
    HEALTH,
    RELIGION,
    POLITICS,
    UNION,
    SEXUALITY,
    ETHNICITY,
    BIOMETRIC,
    FINANCE,
    WHEREABOUTS,
    CRIME,
    CHILD,
)

# Phrases are parted by commas and line ends.
_TERMS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        (HEALTH, TOPIC): """
            insulin,chemotherapy,chemo,radiotherapy,dialysis,methadone,antidepressants,antidepressant,antipsychotics
            antiretrovirals,antiretroviral therapy,lithium,an abortion,abortion,ivf,fertility treatment
            hormone therapy,a mental breakdown,nervous breakdown,a breakdown,suicidal thoughts,self-harm
            mental illness,mental health problems,a transplant,kidney transplant,liver transplant,hip replacement
            knee replacement,bypass surgery,a pacemaker,pacemaker,hysterectomy,vasectomy,mastectomy,gastric bypass
            rehab,psychotherapy,counselling,therapy sessions,a disability,disability,chronic pain,chronic fatigue
            fibromyalgia,heart condition,heart murmur,an std,an sti,a terminal illness,a brain tumour,a brain tumor
            concussion,allergies,nut allergy,peanut allergy,sick leave,blood pressure,medical records
            medical history,blood type,drinking problem,drug problem,dyslexia,tourette's,insomnia,menopause,胰岛素
            化疗,放疗,透析,抗抑郁药,安眠药,人工流产,堕胎,试管婴儿,器官移植,肾移植,心脏搭桥,心脏支架,起搏器,精神问题
            心理疾病,精神疾病,抑郁,焦虑,过敏史,病历,既往病史,家族病史,病史,慢性病,遗传病,传染病,血糖,血压,体检报告
            戒毒治疗,自残,月经不调,子宫肌瘤,甲状腺结节,乳腺结节,脂肪肝,高血脂,静脉曲张,先天性心脏病,重病,绝症
        """,
        (HEALTH, PERSON): """
            in rehab,in a psychiatric ward,in therapy,hiv阳性,diabetic,asthmatic,epileptic,autistic,schizophrenic
            alcoholic,paraplegic,quadriplegic,bipolar,hiv-positive,hiv positive,pregnant,disabled,obese,deaf
            infertile,terminally ill,suicidal,anorexic,bulimic,dyslexic,wheelchair user,in a wheelchair
            immunocompromised,in remission,clinically depressed,severely depressed,partially sighted,addicted to
            dependent on painkillers,on sick leave,in hospital,in intensive care,in a coma,mentally ill,孕妇,残疾人
            聋哑人,盲人,植物人,精神病人,癌症患者,糖尿病患者,抑郁症患者,艾滋病患者,艾滋病感染者,瘾君子
        """,
        (HEALTH, ACT): """
            was diagnosed with,been diagnosed with,were diagnosed with,tested positive for,was sectioned
            been sectioned,attempted suicide,tried to kill himself,tried to kill herself,took an overdose,overdosed
            had a stroke,had a heart attack,was hospitalised,was hospitalized,been hospitalised,been hospitalized
            lost the baby,went into rehab,suffered a miscarriage,underwent surgery,underwent an operation
            sees a psychiatrist,seeing a psychiatrist,sees a therapist,seeing a therapist,suffers from
            is suffering from,was treated for,being treated for,been treated for,is recovering from,自杀未遂,割腕
            怀孕,流过产,做过流产,住进了icu,住进精神病院,看心理医生,看精神科,接受心理治疗,戒酒,戒毒,吸毒,卧床不起
            瘫痪在床,被确诊,被诊断,确诊,查出患有,查出
        """,
        (RELIGION, TOPIC): """
            islam,christianity,catholicism,judaism,hinduism,buddhism,sikhism,scientology,mormonism,religious beliefs
            religion,伊斯兰教,基督教,天主教,佛教,道教,东正教,印度教,犹太教,摩门教,法轮功,宗教信仰,耶稣,真主,上帝
            藏传佛教
        """,
        (RELIGION, PERSON): """
            muslim,christian,catholic,protestant,hindu,buddhist,sikh,mormon,atheist,agnostic,jehovah's witness
            jehovah’s witness,scientologist,quaker,methodist,evangelical,born-again christian,taoist,shia,sunni
            shiite,ismaili,zoroastrian,rastafarian,pagan,wiccan,falun gong practitioner,jew,orthodox jew
            seventh-day adventist,pentecostal,基督徒,佛教徒,穆斯林,天主教徒,道教徒,印度教徒,犹太教徒,信徒,教徒,居士
            无神论者,法轮功学员,摩门教徒
        """,
        (RELIGION, ACT): """
            converted to,was baptised,was baptized,got baptised,got baptized,been baptised,prays at,goes to mass
            attends mass,keeps kosher,observes ramadan,fasts during ramadan,fasts for ramadan,wears a hijab
            wears a headscarf,wears a niqab,wears a turban,left the catholic church,attends a mosque
            attends the mosque,attends a synagogue,attends the synagogue,attends church,goes to church
            goes to the mosque,goes to synagogue,attends a gurdwara,keeps the sabbath,was excommunicated,受洗,皈依
            做礼拜,去教堂,去清真寺,封斋,念佛,吃斋,信佛,信主,信教,信耶稣,信道,信基督,戴头巾,出家
        """,
        (POLITICS, TOPIC): """
            political views,political opinions,political affiliation,party membership,party card,voting record
            政治立场,政治观点,政治倾向,政治面貌,党籍,政见
        """,
        (POLITICS, PERSON): """
            republican,democrat,tory,communist,socialist,anarchist,libertarian,marxist,fascist,labour voter
            tory voter,conservative voter,labour supporter,conservative supporter,republican voter,democratic voter
            trump supporter,biden supporter,brexiteer,remainer,party member,communist party member
            green party member,labour party member,member of the labour party,member of the conservative party
            member of the communist party,member of the green party,member of the republican party
            member of the democratic party,registered republican,registered democrat,separatist,party activist
            political activist,dissident,党员,共产党员,预备党员,民盟盟员,民进会员,九三学社社员,国民党员,民进党员
            民主党派人士,异见人士,团员,台独分子
        """,
        (POLITICS, ACT): """
            donated to the labour party,donated to the conservative party,donated to the green party
            donated to the republican party,donated to the democratic party,donated to the communist party
            donates to the labour party,donates to the conservative party,donates to the green party
            donates to the republican party,donates to the democratic party,donates to the communist party
            voted for the labour party,voted for the conservative party,voted for the green party
            voted for the republican party,voted for the democratic party,voted for the communist party
            supports the labour party,supports the conservative party,supports the green party
            supports the republican party,supports the democratic party,supports the communist party
            belongs to the labour party,belongs to the conservative party,belongs to the green party
            belongs to the republican party,belongs to the democratic party,belongs to the communist party
            campaigned for the labour party,campaigned for the conservative party,campaigned for the green party
            campaigned for the republican party,campaigned for the democratic party
            campaigned for the communist party,voted for,votes for,voted labour,voted tory,voted conservative
            voted republican,voted democrat,voted remain,voted leave,voted green,voted to leave the eu
            voted to remain,donated to the campaign,donated to the party,joined the labour party
            joined the conservative party,joined the communist party,joined the green party
            joined the republican party,campaigned for,canvassed for,canvasses for,campaigns for,left the party
            marched against the government,入党,退党,投票给,把票投给,投了国民党,投了民进党,支持民进党,支持国民党
            参加了游行,参加游行,参加示威,参加了示威,加入共产党,加入中国共产党,上访
        """,
        (UNION, TOPIC): "union membership,union dues,union card,union subscription,工会会费,工会会员证,工会身份",
        (UNION, PERSON): """
            in the union,in a union,in a trade union,active in the union,union member,union rep,union representative
            shop steward,trade unionist,union organiser,union organizer,union activist,member of the union
            member of a union,member of a trade union,unionised,unionized,工会会员,工会主席,工会代表,工会干部
            工会积极分子,工会委员,工会成员
        """,
        (UNION, ACT): """
            工会副主席,工会的副主席,工会的主席,工会里担任,工会里任,工会委员,工会干事,工会的委员,工会的代表
            joined the union,joined a union,joined a trade union,joined his union,joined her union
            belongs to the union,belongs to a union,belongs to a trade union,went on strike,organised the strike
            organized the strike,led the strike,pays union dues,is active in the union,left the union
            organised a union,organized a union,加入工会,加入了工会,参加罢工,参加了罢工,组织罢工,组织了罢工,组建工会
            退出工会,退出了工会
        """,
        (SEXUALITY, TOPIC): """
            sexual orientation,sex life,sexual preferences,an affair,affair with,one-night stand,extramarital affair
            gay lover,a mistress,mistress,porn,same-sex partner,性取向,性生活,婚外情,一夜情,情妇,小三,性癖,性伴侣
            同性伴侣,同性恋人,外遇
        """,
        (SEXUALITY, PERSON): """
            gay,lesbian,bisexual,homosexual,queer,pansexual,asexual,transgender,trans woman,trans man,closeted
            nonbinary,non-binary,transsexual,intersex,heterosexual,同性恋,同性恋者,双性恋,双性恋者,异性恋,男同,女同
            跨性别,跨性别者,变性人,无性恋
        """,
        (SEXUALITY, ACT): """
            came out as,came out to,came out of the closet,slept with,sleeps with,sleeping with,is having an affair
            had an affair,was having an affair,visits prostitutes,hires escorts,is attracted to men
            is attracted to women,出柜,出轨,嫖娼,卖淫,变性,做了变性手术,喜欢男人,喜欢同性,被包养
        """,
        (ETHNICITY, TOPIC): "descent,heritage,ancestry,ethnic origin,racial origin,ethnicity,族裔,血统,民族成分",
        (ETHNICITY, PERSON): "of jewish descent,of african descent,of roma origin,少数民族,黑人,白人,华裔,混血儿,混血",
        (BIOMETRIC, TOPIC): """
            fingerprint,fingerprints,thumbprint,iris scan,iris scans,retina scan,face scan,facial scan,face template
            facial recognition template,faceprint,voiceprint,voice print,palm print,dna,dna profile,dna sample
            genetic test,genetic data,genome,brca1 mutation,brca2 mutation,brca gene,biometric data,biometrics
            gait profile,指纹,虹膜,人脸信息,人脸数据,人脸照片,面部特征,面部识别信息,声纹,掌纹,dna样本,基因检测
            基因数据,基因检测结果,人脸识别信息,生物识别信息,耳廓
        """,
        (FINANCE, TOPIC): """
            bank account,bank accounts,account balance,bank balance,current account,checking account,savings account
            savings,overdraft,credit score,credit rating,credit history,mortgage arrears,rent arrears,arrears,debt
            debts,salary,annual income,income,bankruptcy,credit card debt,student debt,student loan,payday loan,loan
            loans,net worth,pension pot,brokerage account,trust fund,tax debt,gambling debts,mortgage
            share portfolio,inheritance,wages,银行账户,银行账号,账户余额,存款,征信,征信记录,信用分,信用记录,负债
            欠款,贷款,工资,月薪,年薪,收入,房贷,车贷,网贷,外债,债务,资产,名下房产,理财账户,股票账户,证券账户
            公积金余额,支付宝余额,余额,遗产,赌债,信用卡欠款,年收入,月收入,花呗欠款
        """,
        (FINANCE, ACT): """
            went bankrupt,filed for bankruptcy,was declared bankrupt,declared bankruptcy,defaulted on,is behind on
            fell behind on,is in debt,is heavily in debt,owes the bank,is overdrawn,is on benefits,receives benefits
            maxed out,破产,被列为失信,被列入失信,失信被执行人,逾期未还,逾期,欠了,负债累累,资不抵债,拖欠
            月入过,月入不,月入约,年入过,年入百万
            领低保
        """,
        (FINANCE, BESIDE): "earns,earned,owes,owed,is paid,was paid,makes",
        (WHEREABOUTS, BESIDE): "is in,is at,is near,will be in,will be at",
        (WHEREABOUTS, TOPIC): """
            whereabouts,location history,current location,gps location,gps track,travel history,daily route
            movements,live location,phone location,itinerary,行踪,行踪轨迹,实时定位,定位,活动轨迹,行程轨迹,行程,下落
            位置信息,出行记录,住宿记录,开房记录
        """,
        (WHEREABOUTS, ACT): """
            picks up his son,picks up his daughter,picks up his children,picks up his kids,picks up her son
            picks up her daughter,picks up her children,picks up her kids,昨晚住在,昨晚在,今晚住在,今晚在,昨天住在
            周末住在,明天在,今天在,is currently at,is currently in,is staying at,was staying at,was last seen
            was seen at,was seen in,was seen entering,checked in at,checked into,is on holiday in,is on vacation in
            is away until,is alone at home,is home alone,leaves home at,leaves the house at,gets home at,walks home
            walks to work,walks the dog,jogs in,jogs along,parks outside,parks behind,is travelling to
            is traveling to,is flying to,flew to,boarded a flight,is hiding in,is hiding at,goes running,目前在
            目前人在,现在人在,现在在,此刻在,正在前往,人在,入住了,入住,现身,出没于,躲在,藏在,每天早上,每天晚上,每晚
            独自在家,刚到,已抵达,乘坐,下榻
        """,
        (CRIME, TOPIC): """
            criminal record,criminal records,criminal history,conviction,convictions,previous convictions
            arrest warrant,a dui,dui,prison record,police record,prison sentence,suspended sentence
            restraining order,drug conviction,rap sheet,police caution,犯罪记录,前科,案底,犯罪前科,刑事记录,违法记录
            逮捕令,服刑记录
        """,
        (CRIME, PERSON): """
            convicted felon,felon,ex-convict,ex-offender,sex offender,registered sex offender,on parole,on probation
            fugitive,on bail,in prison,in jail,behind bars,out on bail,under house arrest,wanted by the police
            under investigation for,刑满释放人员,在逃人员,通缉犯,劳改犯,社区矫正对象,犯罪嫌疑人,吸毒人员
        """,
        (CRIME, ACT): """
            was convicted,been convicted,was arrested,been arrested,got arrested,was charged with,been charged with
            pleaded guilty,pled guilty,served time,did time,served a sentence,served three years,served two years
            was jailed,been jailed,was imprisoned,was sentenced,been sentenced,was found guilty,released from prison
            went to prison,was in prison,is wanted for,was caught stealing,was caught shoplifting,was cautioned for
            was fined for,is serving,was deported for,spent time in prison,was remanded,被判,判刑,服刑,坐牢,坐过牢
            入狱,被捕,被逮捕,被拘留,被刑拘,被行政拘留,缓刑,假释,刑满释放,酒驾被,醉驾被,被通缉,取保候审,犯过,被起诉
            蹲过监狱,被抓
        """,
    }
)


def terms() -> dict[str, tuple[str, str]]:
    """Every phrase, in lower case, with its category and the way in which it is tied to a person."""
    return {phrase: tie for tie, text in _TERMS.items() for phrase in _phrases(text)}


def _phrases(text: str) -> list[str]:
    return [phrase for line in text.splitlines() for part in line.split(",") if (phrase := part.strip())]
