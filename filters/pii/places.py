"""Places that are large enough to be told: what an address may be generalised to.

A closed list, so that a generalisation is never a piece of the address. Cities of well over a million people each
(United Nations, World Urbanization Prospects 2018), US states, and China's provincial divisions (GB/T 2260).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

# English name and Chinese name, joined by "=".
_CITIES = """
Beijing=北京 Shanghai=上海 Tianjin=天津 Chongqing=重庆 Guangzhou=广州 Shenzhen=深圳 Chengdu=成都 Wuhan=武汉
Hangzhou=杭州 Nanjing=南京 Suzhou=苏州 Xi'an=西安 Shenyang=沈阳 Harbin=哈尔滨 Qingdao=青岛 Dalian=大连 Jinan=济南
Zhengzhou=郑州 Changsha=长沙 Kunming=昆明 Hefei=合肥 Fuzhou=福州 Xiamen=厦门 Ningbo=宁波 Wuxi=无锡 Foshan=佛山
Dongguan=东莞 Changchun=长春 Shijiazhuang=石家庄 Taiyuan=太原 Nanchang=南昌 Guiyang=贵阳 Nanning=南宁 Urumqi=乌鲁木齐
Lanzhou=兰州 Wenzhou=温州 Quanzhou=泉州 Changzhou=常州 Xuzhou=徐州 Tangshan=唐山 Yantai=烟台 Weifang=潍坊 Zibo=淄博
Luoyang=洛阳 Nantong=南通 Shantou=汕头 Zhuhai=珠海 Huizhou=惠州 Zhongshan=中山 Jiaxing=嘉兴 Shaoxing=绍兴
Taizhou=台州 Haikou=海口 Hohhot=呼和浩特 Baotou=包头 Yinchuan=银川 Xining=西宁 Handan=邯郸 Linyi=临沂 Jining=济宁
Xiangyang=襄阳 Liuzhou=柳州 Mianyang=绵阳 Yancheng=盐城 Wuhu=芜湖 Baoding=保定
London=伦敦 Birmingham=伯明翰 Manchester=曼彻斯特 Paris=巴黎 Lyon=里昂 Marseille=马赛 Berlin=柏林 Hamburg=汉堡
Munich=慕尼黑 Cologne=科隆 Madrid=马德里 Barcelona=巴塞罗那 Rome=罗马 Milan=米兰 Naples=那不勒斯 Vienna=维也纳
Lisbon=里斯本 Brussels=布鲁塞尔 Amsterdam=阿姆斯特丹 Warsaw=华沙 Prague=布拉格 Budapest=布达佩斯 Stockholm=斯德哥尔摩
Copenhagen=哥本哈根 Dublin=都柏林 Athens=雅典 Istanbul=伊斯坦布尔 Moscow=莫斯科 Kyiv=基辅 Sydney=悉尼 Melbourne=墨尔本
Brisbane=布里斯班 Auckland=奥克兰 Toronto=多伦多 Montreal=蒙特利尔 Vancouver=温哥华 Houston=休斯敦 Chicago=芝加哥
Boston=波士顿 Philadelphia=费城 Phoenix=凤凰城 Seattle=西雅图 Dallas=达拉斯 Miami=迈阿密 Atlanta=亚特兰大 Detroit=底特律
Tokyo=东京 Osaka=大阪 Seoul=首尔 Singapore=新加坡 Bangkok=曼谷 Jakarta=雅加达 Manila=马尼拉 Mumbai=孟买 Delhi=德里
Bengaluru=班加罗尔 Dubai=迪拜 Cairo=开罗 Johannesburg=约翰内斯堡 Nairobi=内罗毕 Lagos=拉各斯 Taipei=台北
New_York=纽约 Los_Angeles=洛杉矶 San_Francisco=旧金山 San_Diego=圣迭戈 Washington=华盛顿 Hong_Kong=香港
Mexico_City=墨西哥城 São_Paulo=圣保罗 Rio_de_Janeiro=里约热内卢 Buenos_Aires=布宜诺斯艾利斯
"""
_PROVINCES = """
Hebei=河北 Shanxi=山西 Liaoning=辽宁 Jilin=吉林 Heilongjiang=黑龙江 Jiangsu=江苏 Zhejiang=浙江 Anhui=安徽 Fujian=福建
Jiangxi=江西 Shandong=山东 Henan=河南 Hubei=湖北 Hunan=湖南 Guangdong=广东 Hainan=海南 Sichuan=四川 Guizhou=贵州
Yunnan=云南 Shaanxi=陕西 Gansu=甘肃 Qinghai=青海 Inner_Mongolia=内蒙古 Guangxi=广西 Tibet=西藏 Ningxia=宁夏
Xinjiang=新疆 Macau=澳门 Taiwan=台湾
"""
# Postal abbreviation, English name, Chinese name.
_STATES = """
AL=Alabama=亚拉巴马州 AK=Alaska=阿拉斯加州 AZ=Arizona=亚利桑那州 AR=Arkansas=阿肯色州 CA=California=加利福尼亚州
CO=Colorado=科罗拉多州 CT=Connecticut=康涅狄格州 DE=Delaware=特拉华州 FL=Florida=佛罗里达州 GA=Georgia=佐治亚州
HI=Hawaii=夏威夷州 ID=Idaho=爱达荷州 IL=Illinois=伊利诺伊州 IN=Indiana=印第安纳州 IA=Iowa=艾奥瓦州 KS=Kansas=堪萨斯州
KY=Kentucky=肯塔基州 LA=Louisiana=路易斯安那州 ME=Maine=缅因州 MD=Maryland=马里兰州 MA=Massachusetts=马萨诸塞州
MI=Michigan=密歇根州 MN=Minnesota=明尼苏达州 MS=Mississippi=密西西比州 MO=Missouri=密苏里州 MT=Montana=蒙大拿州
NE=Nebraska=内布拉斯加州 NV=Nevada=内华达州 NH=New_Hampshire=新罕布什尔州
NJ=New_Jersey=新泽西州 NM=New_Mexico=新墨西哥州
NY=New_York_State=纽约州 NC=North_Carolina=北卡罗来纳州 ND=North_Dakota=北达科他州
OH=Ohio=俄亥俄州 OK=Oklahoma=俄克拉何马州
OR=Oregon=俄勒冈州 PA=Pennsylvania=宾夕法尼亚州 RI=Rhode_Island=罗得岛州 SC=South_Carolina=南卡罗来纳州
SD=South_Dakota=南达科他州 TN=Tennessee=田纳西州 TX=Texas=得克萨斯州 UT=Utah=犹他州 VT=Vermont=佛蒙特州
VA=Virginia=弗吉尼亚州 WA=Washington_State=华盛顿州 WV=West_Virginia=西弗吉尼亚州
WI=Wisconsin=威斯康星州 WY=Wyoming=怀俄明州
"""

Names = tuple[str, str]  # English, Chinese


def _pairs(text: str) -> Iterator[Names]:
    for entry in text.split():
        english, chinese = entry.replace("_", " ").split("=")
        yield english, chinese


CITIES: tuple[Names, ...] = tuple(_pairs(_CITIES))
PROVINCES: tuple[Names, ...] = tuple(_pairs(_PROVINCES))
STATES: Mapping[str, Names] = MappingProxyType(
    {
        short: (english, chinese)
        for short, english, chinese in (entry.replace("_", " ").split("=") for entry in _STATES.split())
    }
)
