"""Which language a line is in: English, German, or neither.

A line's words vote, and the ends of its longer words, and its letters. The tables hold what is
frequent in one language; what two of them share ("in", "was", "war") is in both, so that it
decides nothing between these two. Each thing votes once, however often the line repeats it. The
entries were chosen on the training parts of Multi30k and the WMT news.
"""

import re
import unicodedata
from typing import Literal

Language = Literal["en", "de", "other"]

LANGUAGE_NAMES = {"en": "English", "de": "German"}

# A word has this many votes; the end of a longer word has one, and so have letters with marks.
WORD = 2
# With fewer votes no language is identified: one frequent word and one end may be a name.
MIN_VOTES = 3
# The other languages are many, and the best of many has some votes by chance.
MIN_OTHER, AHEAD = 4, 2
# The language shows in the first words; a line of megabytes costs no more than they do.
LONGEST = 1000

# All tables are casefolded, so "ss" for "ß".
_WORDS = {
    "en": """
        a about above according across add after again against ago all allow along already also
        although always am among an and another any are around as asked at away back bald be
        became because become been before behind being believe below best better between big bin
        black blue both boy bring build built but buy by call called came can cannot car change
        child children close come consider could country day did didn different do does doesn dog
        doing don done down during each early eight either end enough even ever every everyone
        expect family far fast father few find first five for found four from front full further
        get gets getting girl give given go going good got great green group grow had hand happen
        happened has hat have having he head held help her here high him himself his hit hold
        holding hours house how however i if in including instead into is isn it its itself just
        keep keeps kill killed know large last later lead learn least leave left less let life
        like likely line little live lived living long look looking looks lose love loves made
        make makes making man many may me meet men might minister money month months more most
        mother move much must my name named near need never new news next night nine no nor not
        nothing now number nun of off offer often old on once one only onto open opened or other
        others our out outside over own part pay people per percent place plan plans playing put
        quite rather re reach read real really red remain remains remember report rest right room
        run running s said same saw say says school second see seen send set seven several shall
        she should show shows side since sits sitting six small so some someone something soon
        speak spend standing stands state stay still such take taken takes talking team tell ten
        than that the their them themselves then there these they thing things think this those
        though three through throughout time times to today together told too took toward towards
        tried try two u under understand until up upon use used uses using ve very wait walk
        walking walks want wants war was wasn watch watches water way we wearing week well went
        were what when where whether which while white who whole whom whose why will wins with
        within without woman women won work working works world would write year years yes
        yesterday yet you young your
    """,
    "de": """
        ab aber all alle allein allem allen aller allerdings alles als also alt alte alten am an
        andere anderem anderen anderer anderes arbeit auch auf aufgrund aus ausser ausserdem bald
        befindet bei beide beiden beim bereits besonders besser bin bis bisher bist blau bleiben
        bleibt da dabei dadurch dafür dagegen damals damit danach dann daran darauf daraus darf
        darin darum darunter darüber das dass davon davor dazu dein dem den denen denn dennoch der
        deren des deshalb dessen deutsche deutschen deutschland dich die dies diese diesem diesen
        dieser dieses dir doch dort drei drüber durch dürfen eben ebenfalls ebenso eher eigene
        eigenen ein eine einem einen einer eines einfach einige einigen einmal ende entlang er
        erneut erst erste ersten es etwa etwas euch fast fordert fragen frau frauen fuer fährt
        führt fünf für gab ganz ganze ganzen gar geben gegeben gegen gegenüber gehen geht gemacht
        genau gerade gern gestern geworden gibt gilt ging gleich gross grosse grossen grosser
        gruppe grün gut gute guten hab habe haben hat hatte hatten heisst her herr heute hier hin
        hinter hoch hält hätte hätten ich ihm ihn ihnen ihr ihre ihrem ihren ihrer ihres im immer
        in indem ins insgesamt ist ja jahr jahre jahren jahres je jede jedem jeden jeder jedes
        jedoch jemand jetzt junge junger kam kann kein keine keinem keinen keiner kind kinder
        kleine kleinen kleiner kommen kommt konnte konnten könne können könnte könnten lang lange
        lassen laut leben lediglich letzte letzten leute liegt lässt läuft machen macht mal man
        manche mann mehr mehrere mein meine meinen meiner meist menschen mich millionen minister
        mir mit mittwoch montag muss musste mussten mädchen männer möchte möglich müsse müssen
        müssten nach nachdem neben nein neue neuen neuer nicht nichts nie niemand nimmt noch nun
        nur nächsten ob obwohl oder ohne paar per personen prozent recht regierung rot rund sagen
        sagt sagte schon schwarz sechs see sehen sehr sei seien sein seine seinem seinen seiner
        seines seit seite selbst sich sie sieht sind sitzen sitzt so sogar solche solchen soll
        sollen sollte sollten sondern sonst sowie sowohl spielt später stadt statt stehen steht
        steigt stellt tag tage tagen teil trotz trägt ueber um und uns unser unsere unseren
        unserer unter viel viele vielen vier vom von vor wann war waren warum was wasser weg wegen
        weil weiss weit weiter weitere weiteren welche welcher wenig wenige weniger wenn wer werde
        werden werdet weshalb wie wieder will wir wird wirklich wo wobei woche wohl wollen wollte
        worden wurde wurden während wäre wären würde würden z zehn zeigt zeit zu zudem zum zur
        zurück zusammen zwar zwei zweite zweiten zwischen über überhaupt übrigens
    """,
    "French": """
        an ans au aux avec c ce ces cette comme contre d dans de des deux devant du elle elles en
        encore est et fait femme font hier homme il ils j je jeune l la le les leur leurs lui ma
        mais mes moi mon même n ne nous nouveau nouvelle nouvelles on ont ou où par pas petit peut
        plus pour pourquoi qu quand que qui rien s sa sans se selon ses si son sont sous sur toi
        tout très un une vous y à était été être
    """,
    "Spanish": """
        a al ayer año años como con contra cuando de del desde donde dos e el ella ellos en entre
        era es esta este está están fue ha hace han hasta hay hombre la las le lo los mañana me mi
        mujer muy más nada no nos nueva nuevas nuevo o para pero por porque que se según ser si
        sin sobre son su sus también te tiene todo todos un una uno y ya yo
    """,
    "Italian": """
        a ai al alla alle anche ancora anni anno che chi ci come con contro cui d da dal dalla
        degli dei del della delle di donna dopo due e ed era essere fa fra gli ha hanno i ieri il
        in io l la le lo loro ma mi molto nel nella nelle niente no noi non nuova nuovo o oggi
        ogni per perché più quando quello questa questo se secondo si sono sta stato su sua sul
        sulla suo tra tutti tutto un una uno uomo è
    """,
    "Portuguese": """
        a ano anos ao aos as até com como contra da das de do dois dos duas e ela ele eles em
        entre era essa esse este está eu foi homem há isso já mais manhã mas me mesmo meu muito
        mulher na nas no nos novas novo num numa não o ontem os ou para pela pelo pode por quando
        que quem se sem ser seu seus sobre sua são também tem um uma você à é
    """,
    "Dutch": """
        aan al alle als altijd ander andere anders bij daar dan dat de deed deze die dit door dus
        een eerste en er geen graag haar had hebben heeft hem het hier hij hoe hun ik in is jaar
        jaren je jij kan kunnen maar man mannen meer mensen met mij mijn moet morgen na naar niet
        niets nieuwe nog nu of om onder ons ook op over staat te tegen toen tot twee uit van veel
        volgens voor vrouw waar waarom wanneer was wat we weer weet werd wij wil worden wordt ze
        zei zich zij zijn zit zo zou
    """,
    "Polish": """
        a aby ale bardzo bez bo być był była było co czy dla dlaczego do dwa dwie dwóch gdy go i
        ich ja jak jako je jego jej jest jesteśmy jeszcze jutro już kiedy kobieta ktoś która które
        który lat lub ludzi ma mi mnie moja może mój mężczyzna na nad nam nic nie niego o od on
        ona oni oraz po pod przeciw przeciwko przed przez przy roku się są ta tak tam te tego tej
        ten to tu tylko tym w według więc wszystko z za ze że
    """,
    "Czech": """
        a aby ale až bez by byl byla bylo být co dnes do dva dvě ho i jak jako je jeden jedna jeho
        její jen ještě jsem jsme jsou já kde když která které který kteří lidé lidí mezi muž mého
        můj může můžeme na nad ne nebo nebyl než o od on po pod podle pro protože před při roku s
        se si tak také ten to tím u už v ve velmi včera však z za ze že žena
    """,
    "Swedish": """
        alla alltid att av bara barn barnen blev bli de dem den det där då efter eller en ett från
        för ha hade han har hennes hon honom hur här i ingen inte jag kan kommer kvinna lilla man
        med mellan men mig min mot mycket när några och också om personer på sig sin sina sitt ska
        skulle som till två under upp ut var vi vid vill än är år över
    """,
    "Danish, Norwegian": """
        af alle at blev blevet bliver børn da de den der deres det dette du efter eller en er et
        for fra få gjorde ham han hans har havde hendes hun hvad hvis hvor i ikke ind ingen jeg
        kan kommer kvinde lille man mand mange med meg mellem mens mig min mod mot må ned nogle nå
        når og også om op opp over personer på seg sig siger sit skal som så til to ud ut var ved
        vi vil vores være været år
    """,
    "Romanian": """
        a această acest acum ai al ale am ani are au care ce cel cu când că dar de din doi două
        după el este eu fi foarte fost la lui mai mea meu mic mult nu o pe pentru prin sa sau se
        sunt un una unei unui în şi și
    """,
    "Hungarian": """
        a aki ami az azt be csak de egy el előtt ez ezt férfi ha hogy három is ki kis két lehet
        lesz majd meg minden mint már még nagyon nem nő sok több után vagy van volt én és
    """,
    "Finnish": """
        edessä ei eivät ennen että hän hänen ja jo joka jos jotka kaksi kanssa koko kuin kun mies
        mitä mukaan mutta myös nainen niin nyt ole oli olla on ovat se sekä sen sitä tai tämä vain
        voi yksi
    """,
    "Turkish": """
        adam bir bu da daha de değil diye en evet gibi her iki ile ise için kadar kadın ki mi
        nasıl ne o olan olarak onun sonra var ve yeni çok önce üç
    """,
}
# Frequent at the end of words of five letters and more, and rare there in the other language.
_ENDS = {
    "en": """
        ack act ady ain air alf alk ard ary ays ble bly ced ces cks cle cts day ded dge dle dow
        ead ear ech ect eed eek een ees eet eld ely ery ess ety ews ful ged ght gle hed ial ics
        ies ign ily ing irl ise ish ity ive ize ked kes ket lds led lks lls low lth lts med nce
        nch ncy nds ned ngs nks nny nse nts oad ock ods oes ogy ond ood ook oom oon oor oot ope
        ork ory oup ous owd own ows ped phy ple rch rds red rld rls rly rms row rth rty sed sky
        son sts tar tch ted ths tle tly try unt uth ved way wed yer zed
    """,
    "de": """
        aft agt ahn alt ang atz aun aus aut ben che cht cke ckt den det ebt egt ehr eht eig eil
        eis eit ekt eld eln elt erd ern ert ett eug fen fte gen gte hen het hlt hne hnt hrt hte
        ibt ich iel ien igt ihe itt ken kte lag len lge lle llt lte mer mmt mpf mte nde nen ner
        ngt nkt nnt nte ppe rad rag ren rer rke rte rze sch sen sse sst ste tag tem ten tet tig
        tte tze tzt tät ude uen uft uhl ung upt uss weg zen zer zug äft ägt ält ück
    """,
}
# Of these "Ursula von der Leyen" and "Oscar de la Renta" have too many: one vote each.
_IN_NAMES = frozenset(
    {"al", "da", "de", "del", "della", "den", "der", "di", "do", "dos", "du", "el", "la", "le"}
    | {"van", "von", "y", "zu"}
)
_WORD_SETS = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_END_SETS = {language: frozenset(ends.split()) for language, ends in _ENDS.items()}
_OTHERS = [words for language, words in _WORD_SETS.items() if language not in _END_SETS]
_ANY_OTHER = frozenset().union(*_OTHERS)
_UMLAUTS = frozenset("äöü")

_WORD = re.compile(r"(?<![\w./@])[^\W\d_]+")  # not in "3rd", nor after "www." or "info@"
_MARKED = re.compile("[à-öø-ɏḁ-ỹ]")  # Latin letters with marks
_NOT_LATIN = re.compile(r"[^\W\d_\u0000-\u02ff\u1e00-\u1eff]")


def _count(words: frozenset[str]) -> int:
    """The votes of words that are in one table."""
    return WORD * len(words) - len(words & _IN_NAMES)


def identify(text: str) -> Language | None:
    """The language of a line, or None where nothing, or too little, tells.

    None is what numbers, names and single words show: no reason to drop a line.

    Args:
        text: one line, in any case, composed or not. Its first `LONGEST` characters are read.

    Returns:
        "en", "de", or "other" for another language or another script.
    """
    text = unicodedata.normalize("NFKC", text[:LONGEST]).casefold()
    words = frozenset(_WORD.findall(text))
    marked: set[str] = set()
    if not text.isascii():
        not_latin = len(_NOT_LATIN.findall(text))
        if not_latin > 1 and 2 * not_latin > sum(map(str.isalpha, text)):
            return "other"
        marked = set(_MARKED.findall(text))
    if len(words) < 2:
        return None
    ends = {word[-3:] for word in words if len(word) > 4}
    en = _count(_WORD_SETS["en"] & words) + len(_END_SETS["en"] & ends)
    de = _count(_WORD_SETS["de"] & words) + len(_END_SETS["de"] & ends) + bool(marked & _UMLAUTS)
    best = max(en, de)
    foreign = words & _ANY_OTHER
    n_letters = len(marked - _UMLAUTS)
    if foreign and _count(foreign) + n_letters >= best + AHEAD:  # then one of them may be ahead
        other = max(_count(foreign & table) for table in _OTHERS) + n_letters
        if other >= max(MIN_OTHER, best + AHEAD):
            return "other"
    if best < MIN_VOTES or en == de:
        return None
    return "en" if en > de else "de"
