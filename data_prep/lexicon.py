"""Words of the bundled corpus and their forms: tables first, inflection below.

Every English word has one German translation in its context, so that a sentence has one too.
Tables are text, one word a line, because a reader checks German faster without quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

# english[/plural] | article noun plural[~genitive] | classes. "weak" nouns take -(e)n everywhere.
NOUN_TABLE = """
man/men | der Mann Männer | adult
boy | der Junge Jungen weak | child
teacher | der Lehrer Lehrer | adult job ours
doctor | der Arzt Ärzte | adult job ours
student | der Student Studenten weak | adult
neighbor | der Nachbar Nachbarn weak | adult ours
colleague | der Kollege Kollegen weak | adult ours
customer | der Kunde Kunden weak | adult
policeman/policemen | der Polizist Polizisten weak | adult job
tourist | der Tourist Touristen weak | adult
baker | der Bäcker Bäcker | adult job
farmer | der Bauer Bauern weak | adult job
gardener | der Gärtner Gärtner | adult job
father | der Vater Väter | adult kin single
brother | der Bruder Brüder | adult kin
son | der Sohn Söhne | child kin
uncle | der Onkel Onkel | adult kin
grandfather | der Großvater Großväter | adult kin
friend | der Freund Freunde | adult kin
guest | der Gast Gäste | adult ours
woman/women | die Frau Frauen | adult
mother | die Mutter Mütter | adult kin single
sister | die Schwester Schwestern | adult kin
daughter | die Tochter Töchter | child kin
aunt | die Tante Tanten | adult kin
grandmother | die Großmutter Großmütter | adult kin
nurse | die Krankenschwester Krankenschwestern | adult job
waitress | die Kellnerin Kellnerinnen | adult job
actress | die Schauspielerin Schauspielerinnen | adult job
child/children | das Kind Kinder | child
girl | das Mädchen Mädchen | child
dog | der Hund Hunde | animal ours
cat | die Katze Katzen | animal ours
horse | das Pferd Pferde | animal ours
bird | der Vogel Vögel | animal
bear | der Bär Bären weak | animal
monkey | der Affe Affen weak | animal
mouse/mice | die Maus Mäuse | animal
sheep/sheep | das Schaf Schafe | animal
cow | die Kuh Kühe | animal
rabbit | das Kaninchen Kaninchen | animal ours
apple | der Apfel Äpfel | food fruit gift
pear | die Birne Birnen | food fruit
banana | die Banane Bananen | food fruit
orange | die Orange Orangen | food fruit
egg | das Ei Eier | food dish
cake | der Kuchen Kuchen | food baked gift
sandwich | das Brötchen Brötchen | food baked
potato/potatoes | die Kartoffel Kartoffeln | food dish
soup | die Suppe Suppen | food dish
sausage | die Wurst Würste | food
bread | das Brot Brote mass | food baked
cheese | der Käse Käse mass | food
rice | der Reis Reise mass | food dish
meat | das Fleisch Fleisch mass | food dish
water | das Wasser Wasser mass | drink
coffee | der Kaffee Kaffees mass | drink
tea | der Tee Tees mass | drink
milk | die Milch Milch mass | drink
juice | der Saft Säfte mass | drink
beer | das Bier Biere mass | drink
wine | der Wein Weine mass | drink
book | das Buch Bücher | text ware flat gift
newspaper | die Zeitung Zeitungen | text ware flat
letter | der Brief Briefe | text flat
email | die E-Mail E-Mails | text
poem | das Gedicht Gedichte | text
magazine | die Zeitschrift Zeitschriften | text flat ware
message | die Nachricht Nachrichten | text
word | das Wort Wörter | idea
sentence | der Satz Sätze | idea
question | die Frage Fragen | idea
answer | die Antwort Antworten | idea
story/stories | die Geschichte Geschichten | tale
joke | der Witz Witze | tale
song | das Lied Lieder | sound
film | der Film Filme~Films | show
concert | das Konzert Konzerte | show event happening
music | die Musik Musik mass | sound
problem | das Problem Probleme | idea
plan | der Plan Pläne | idea
journey | die Reise Reisen | event
party/parties | die Party Partys | event show happening
race | das Rennen Rennen | event show happening
course | der Kurs Kurse | event happening show
car | der Wagen Wagen | vehicle ware big machine
bicycle | das Fahrrad Fahrräder | vehicle ware big machine
bus/buses | der Bus Busse~Busses | vehicle ride
train | der Zug Züge | vehicle ride
taxi | das Taxi Taxis | vehicle ride
ship | das Schiff Schiffe | vehicle ride
lamp | die Lampe Lampen | device ware upright
radio | das Radio Radios | device ware upright machine
computer | der Computer Computer | device ware machine upright
camera | die Kamera Kameras | device ware flat machine
phone | das Telefon Telefone | device ware upright machine
heater | die Heizung Heizungen | device machine
clock | die Uhr Uhren | ware machine upright
key | der Schlüssel Schlüssel | small flat
bag | die Tasche Taschen | ware small upright
box | die Kiste Kisten | opening small upright
bottle | die Flasche Flaschen | opening upright small
cup | die Tasse Tassen | upright small
plate | der Teller Teller | upright small
knife/knives | das Messer Messer | small flat
spoon | der Löffel Löffel | small flat
pen | der Stift Stifte | small flat gift
ball | der Ball Bälle | small toy gift
doll | die Puppe Puppen | small toy gift
gift | das Geschenk Geschenke | small flat gift
flower | die Blume Blumen | small gift ware
umbrella | der Regenschirm Regenschirme | small ware
coat | der Mantel Mäntel | clothes ware
hat | der Hut Hüte | clothes ware worn
shirt | das Hemd Hemden | clothes ware
dress | das Kleid Kleider | clothes ware
jacket | die Jacke Jacken | clothes ware
skirt | der Rock Röcke | clothes ware
sweater | der Pullover Pullover | clothes ware
shoe | der Schuh Schuhe | clothes ware pair
beard | der Bart Bärte | beard
table | der Tisch Tische | furniture big top ware
chair | der Stuhl Stühle | furniture upright seat ware
sofa | das Sofa Sofas | furniture big seat top ware
bed | das Bett Betten | furniture big top ware
shelf/shelves | das Regal Regale | furniture big top ware
cupboard | der Schrank Schränke | furniture big ware opening
mirror | der Spiegel Spiegel | ware hung
picture | das Bild Bilder | hung image ware gift
photo | das Foto Fotos | hung image flat gift
map | die Karte Karten | hung image flat
window | das Fenster Fenster | opening front
door | die Tür Türen | opening front
wall | die Wand Wände | front
tree | der Baum Bäume | spot image
house | das Haus Häuser | building spot image
bridge | die Brücke Brücken | spot building image
"""

# english | article noun plural | English place, English goal | German place, German goal | classes
PLACE_TABLE = """
garden | der Garten Gärten | in into | in in | out ours
park | der Park Parks~Parks | in to | in in | out
forest | der Wald Wälder | in into | in in | out
city/cities | die Stadt Städte | in to | in in | town ours
village | das Dorf Dörfer | in to | in in | town ours
kitchen | die Küche Küchen | in into | in in | room ours
room | das Zimmer Zimmer | in into | in in | room ours
apartment | die Wohnung Wohnungen | in into | in in | room home ours
office | das Büro Büros | in to | in in | work ours
school | die Schule Schulen | at to | in in | work ours
library/libraries | die Bibliothek Bibliotheken | in to | in in | work
museum | das Museum Museen | in to | in in | town2
restaurant | das Restaurant Restaurants | in to | in in | eat
café | das Café Cafés | in to | in in | eat
hotel | das Hotel Hotels | in to | in in | home eat
hospital | das Krankenhaus Krankenhäuser | in to | in in | care
theater | das Theater Theater | in to | in in | town2
church/churches | die Kirche Kirchen | in to | in in | town2
supermarket | der Supermarkt Supermärkte | in to | in in | shop
shop | das Geschäft Geschäfte | in to | in in | shop
market | der Markt Märkte | at to | auf auf | shop
station | der Bahnhof Bahnhöfe | at to | an zu | stop
airport | der Flughafen Flughäfen | at to | an zu | stop
harbor | der Hafen Häfen | at to | an zu | stop
lake | der See Seen | at to | an an | shore
beach/beaches | der Strand Strände | at to | an an | shore
river | der Fluss Flüsse | at to | an an | shore
island | die Insel Inseln | on to | auf auf | town
"""

# m, f or city | names; cities are the same in both languages unless a second name is given
NAME_TABLE = """
m | Peter Thomas Paul Max Lukas Felix Jonas David
f | Anna Maria Lisa Julia Sophie Laura Emma Nina
city | Berlin Hamburg Vienna=Wien Munich=München Cologne=Köln Paris Rome=Rom Zurich=Zürich
"""

# english | german[~stem before an ending] | classes it describes ("person" also alone: "he is ...")
ADJECTIVE_TABLE = """
old | alt | person animal building vehicle furniture clothes ware place text small device image
young | jung | adult animal
tall | groß | person
small | klein | child animal building furniture ware place small vehicle
big | groß | animal building furniture vehicle place ware small
new | neu | ware text clothes vehicle building device furniture job place show small
friendly | freundlich | person
famous | berühmt | job image show town bridge restaurant hotel church museum theater
tired | müde~müd | person animal state
sick | krank | person animal state
hungry | hungrig | person animal state
happy | glücklich | person state
sad | traurig | person tale sound film state
rich | reich | adult
poor | arm | adult
clever | klug | person question answer plan
lazy | faul | person animal
strong | stark | adult drink bear
polite | höflich | person
brave | mutig | person
wild | wild | bear monkey horse dog bird cat rabbit
black | schwarz | animal clothes vehicle device big worn
white | weiß | animal clothes vehicle device big wine
red | rot | clothes vehicle flower fruit toy small
blue | blau | clothes vehicle upright small
green | grün | clothes vehicle pear upright
yellow | gelb | clothes flower toy banana
brown | braun | animal furniture clothes
beautiful | schön | building place flower image clothes tale sound
expensive | teuer~teur | ware clothes vehicle shop eat
cheap | billig | ware clothes vehicle
heavy | schwer | box bag furniture machine
good | gut | food job tale show text idea
fresh | frisch | food bread milk fruit
cold | kalt | drink room
warm | warm | drink soup room clothes dish
sweet | süß | fruit cake tea juice
fast | schnell | vehicle animal
slow | langsam | vehicle animal
broken | kaputt | machine device furniture
clean | sauber | clothes room plate cup
dirty | schmutzig | clothes room plate cup shoe
empty | leer | bottle box cup bag room
full | voll | bottle box cup bus train bag plate
important | wichtig | idea text
interesting | interessant | text show idea tale place
boring | langweilig | text show tale
long | lang | text journey tale sentence film race river
short | kurz | text journey tale sentence film
difficult | schwierig | idea race course text
simple | einfach | idea course plan dish text
funny | lustig | tale show text
quiet | ruhig | place
dark | dunkel~dunkl | room clothes forest
"""

# english[/past[/ing]] | infinitive [3rd person] [participle] [+marks] | frame | subjects | objects
# | places. A prefix with "-" is separable ("-" alone: regular form). Marks: the auxiliary +sein,
# reflexive +sich, +stative, a preposition and its case (+an:D). "_" tells two senses apart.
# Frames: none, acc, dat, give (dat + acc), give-to, prep, goal, spot, put, that, to, be.
VERB_TABLE = """
sleep/slept | schlafen schläft geschlafen | none | person animal | | room home
laugh | lachen | none | person | | eat work room
cry/cried | weinen | none | person | | room
dance | tanzen | none | person | | eat town
work | arbeiten | none | adult | | work care eat shop out
swim/swam/swimming | schwimmen - geschwommen +sein | none | person animal | | shore
sing/sang | singen - gesungen | none | person | | room out town2
play | spielen | none | child animal | | out shore
cook | kochen | none | person | | kitchen eat
learn | lernen | none | person | | work room
get up/got up/getting up | auf-stehen - gestanden +sein | none | person | |
arrive | an-kommen - gekommen +sein | none | person vehicle | | stop town
fall asleep/fell asleep | ein-schlafen schläft geschlafen +sein | none | person animal | | room home
wake up/woke up/waking up | auf-wachen +sein | none | person animal | |
come back/came back/coming back | zurück-kommen - gekommen +sein | none | person animal | |
watch TV | fern-sehen sieht gesehen | none | person | | room home
go out/went out | aus-gehen - gegangen +sein | none | person | |
shop/shopped/shopping | ein-kaufen | none | person | | shop town
depart | ab-fahren fährt gefahren +sein | none | ride | |
begin/began/beginning | an-fangen fängt gefangen | none | show | |
take place/took/taking | statt-finden findet gefunden | none | happening | | town2 eat town out
rest | aus-ruhen +sich | none | person | | out room shore
read/read | lesen liest gelesen | acc | person | text | out room work eat
write/wrote | schreiben - geschrieben | acc | person | book letter email poem tale | work room
buy/bought | kaufen | acc | person | ware food | shop town
sell/sold | verkaufen | acc | adult | ware food | shop town
eat/ate | essen isst gegessen | acc | person animal | food | out room eat
drink/drank | trinken - getrunken | acc | person | drink | eat room out
see/saw | sehen sieht gesehen | acc | person | person animal show | town out stop
hear/heard | hören | acc | person | sound | room eat
find/found | finden findet gefunden | acc | person | small animal | out room
look for | suchen | acc | person | small clothes person animal | out room town
visit | besuchen | acc | person | person | town
meet/met | treffen trifft getroffen | acc | person | person | town eat stop work
know/knew | kennen - gekannt +stative | acc | person | person tale show | |
love | lieben +stative | acc | person | person animal sound | |
like | mögen mag gemocht +stative | acc | person | food clothes person drink | |
need | brauchen +stative | acc | person | ware small vehicle | |
have/had | haben hat gehabt +stative | acc | person | vehicle ware animal idea | |
carry/carried | tragen trägt getragen | acc | adult | box bag gift umbrella |
wash | waschen wäscht gewaschen | acc | person | clothes plate cup car bicycle dog |
repair | reparieren | acc | adult | machine furniture | work
clean | putzen | acc | adult | front shoe room |
paint | malen | acc | person | picture house tree bridge animal | out room
draw/drew | zeichnen zeichnet gezeichnet | acc | person | house tree bridge flower animal | work
build/built | bauen | acc | adult | building shelf ship | town
cook_ | kochen | acc | adult | dish | kitchen eat
bake | backen backt gebacken | acc | adult | cake bread | kitchen
understand/understood | verstehen - verstanden +stative | acc | person | idea tale text | |
forget/forgot/forgetting | vergessen vergisst vergessen | acc | person | small idea |
lose/lost | verlieren - verloren | acc | person | small camera | town out
steal/stole | stehlen stiehlt gestohlen | acc | monkey | small fruit | town shop
catch/caught | fangen fängt gefangen | acc | child cat bear dog | mouse bird ball | out
feed/fed | füttern | acc | person | animal | out
ask | fragen | acc | person | person | work
greet | grüßen | acc | person | person | stop shop
order | bestellen | acc | adult | food drink ware | eat
pay for/paid for | bezahlen | acc | adult | ware food drink journey | shop eat
watch | beobachten | acc | person animal | person animal | out
photograph | fotografieren | acc | person | person animal image | town out shore
call | an-rufen - gerufen | acc | person | person |
invite | ein-laden lädt geladen | acc | person | person |
pick up | ab-holen | acc | adult | person | stop
turn on | ein-schalten | acc | person | device |
turn off | aus-schalten | acc | person | device |
put on/put on/putting on | an-ziehen - gezogen | acc | person | clothes |
open | auf-machen | acc | person | opening |
close | zu-machen | acc | person | opening |
tidy up/tidied up | auf-räumen | acc | person | room shelf cupboard |
bring along/brought along | mit-bringen - gebracht | acc | person | gift food drink |
look at | an-sehen sieht gesehen | acc | person | image animal |
try on/tried on | an-probieren | acc | person | clothes | shop
throw away/threw away | weg-werfen wirft geworfen | acc | person | text bottle box shoe |
write down/wrote down | auf-schreiben - geschrieben | acc | person | idea | work
help | helfen hilft geholfen | dat | person | person | room work out
thank | danken | dat | person | person |
answer_ | antworten | dat | person | person |
follow | folgen +sein | dat | person animal | person animal |
congratulate | gratulieren | dat | person | person |
listen to | zu-hören | dat | person | person |
trust | vertrauen +stative | dat | person | person |
belong to | gehören +stative | dat | ware vehicle small dog | person |
give/gave | geben gibt gegeben | give | person | gift text food small |
show | zeigen | give | person | image text small |
send/sent | schicken | give | person | text gift photo |
bring/brought | bringen - gebracht | give | person | drink food gift |
tell/told | erzählen | give | person | tale |
lend/lent | leihen - geliehen | give | person | bicycle camera umbrella book pen |
promise | versprechen verspricht versprochen | give | adult | gift journey ball doll |
explain | erklären | give-to | adult | idea |
sell_/sold | verkaufen | give-to | adult | ware vehicle |
wait for | warten +auf:A | prep | person | ride person answer | stop
think of/thought of | denken - gedacht +an:A | prep | person | person journey idea |
talk about | reden +über:A | prep | person | idea show person tale | work eat
speak with/spoke with | sprechen spricht gesprochen +mit:D | prep | person | person | work eat
dream of | träumen +von:D | prep | person | journey vehicle animal |
laugh at | lachen +über:A | prep | person | tale film person |
look after | auf-passen +auf:A | prep | adult | child animal | out
take part in/took part in | teil-nehmen nimmt genommen +an:D | prep | person | event |
play with | spielen +mit:D | prep | child animal | toy animal child | out room
dance with | tanzen +mit:D | prep | person | person | eat
look forward to | freuen +sich +auf:A | prep | person | event gift |
remember | erinnern +sich +stative +an:A | prep | person | person journey tale |
take care of/took care of | kümmern +sich +um:A | prep | adult | person animal | care out
complain about | beschweren +sich +über:A | prep | adult | food show eat | eat
go/went | gehen - gegangen +sein | goal | person | | out room town2 eat shop work stop shore care
drive/drove | fahren fährt gefahren +sein | goal | adult | | town city stop shore work care
fly/flew | fliegen - geflogen +sein | goal | person | | city island
travel/traveled | reisen +sein | goal | person | | city town
run/ran/running | laufen läuft gelaufen +sein | goal | person animal | | out room stop shore
drive back/drove back | zurück-fahren fährt gefahren +sein | goal | adult | | town city stop
sit/sat/sitting | sitzen - gesessen | spot | person animal | | seat eat out tree
stand/stood | stehen - gestanden | spot | person vehicle upright | | top spot front
lie/lay/lying | liegen - gelegen | spot | flat small animal | | top furniture
live | wohnen +stative | spot | person | | town city home house
stay | bleiben - geblieben +sein | spot | person | | room home town city
hang/hung | hängen - gehangen | spot | hung | | wall
put/put/putting | legen | put | person | flat | top
place | stellen | put | person | upright | top
say/said | sagen | that | person | |
believe | glauben +stative | that | person | |
know_/knew | wissen weiß gewusst +stative | that | person | |
hope | hoffen | that | person | |
hear_/heard | hören +stative | that | person | |
think/thought | denken - gedacht +stative | that | person | |
try/tried | versuchen | to | person | |
plan/planned/planning | planen | to | person | |
forget_/forgot/forgetting | vergessen vergisst vergessen | to | person | |
begin_/began/beginning | an-fangen fängt gefangen | to | person | |
decide | beschließen beschließt beschlossen | to | person | |
rain | regnen regnet geregnet | weather | | |
snow | schneien | weather | | |
be/was | sein ist gewesen | be | person | | out town room work shop care
"""

# english | german | tenses in which it makes sense
TIME_TABLE = """
now | jetzt | progressive
today | heute | progressive
right now | gerade | progressive
at the moment | im Moment | progressive
every day | jeden Tag | present
every morning | jeden Morgen | present
every week | jede Woche | present
every summer | jeden Sommer | present
every year | jedes Jahr | present
at the weekend | am Wochenende | present past future
in the evening | am Abend | present past
in the morning | am Morgen | present past
in winter | im Winter | present
after work | nach der Arbeit | present past future
before breakfast | vor dem Frühstück | present past
after dinner | nach dem Abendessen | present past future
on Monday | am Montag | past future
on Friday | am Freitag | past future
on Sunday | am Sonntag | past future
yesterday | gestern | past
last week | letzte Woche | past
last year | letztes Jahr | past
last month | letzten Monat | past
this morning | heute Morgen | past
yesterday evening | gestern Abend | past
tomorrow | morgen | future
tonight | heute Abend | future
next week | nächste Woche | future
next year | nächstes Jahr | future
soon | bald | future
the day after tomorrow | übermorgen | future
at {} o'clock | um {} Uhr | present past future
{} days ago | vor {} Tagen | past
{} weeks ago | vor {} Wochen | past
{} months ago | vor {} Monaten | past
in {} days | in {} Tagen | future
in {} weeks | in {} Wochen | future
"""

# english | german | "often": a frequency, else the verbs (manner)
ADVERB_TABLE = """
quickly | schnell | read write eat drink swim cook learn get_up wash draw run drive
slowly | langsam | read write eat drink swim learn fall_asleep run drive speak_with
quietly | leise | sing play talk_about speak_with cry laugh
loudly | laut | sing laugh cry laugh_at complain_about talk_about
carefully | vorsichtig | open close carry wash repair drive clean place
happily | fröhlich | sing dance laugh play work play_with
well | gut | sing dance swim sleep cook learn
together | zusammen | dance cook sing play learn work watch_TV
always | immer | often
often | oft | often
sometimes | manchmal | often
rarely | selten | often
usually | meistens | often
"""

NUMERALS = {
    **{"two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "six": "sechs"},
    **{"seven": "sieben", "eight": "acht", "nine": "neun", "ten": "zehn", "eleven": "elf"},
    **{"twelve": "zwölf", "twenty": "zwanzig"},
}
# Prepositions that a sentence names itself, as the noun of the place has no usual one.
SPOT_PREPOSITIONS = {
    "behind": "hinter",
    "in front of": "vor",
    "next to": "neben",
    "under": "unter",
    "on": "auf",
}
CONTRACTIONS = {
    **{"in dem": "im", "in das": "ins", "an dem": "am", "an das": "ans"},
    **{"zu dem": "zum", "zu der": "zur", "von dem": "vom"},
}
PARTICLES = {"up", "on", "off", "along", "away", "down", "back", "out"}  # "turn it on"


class Modal(NamedTuple):
    """The forms of a modal verb; "be" in an English form stands for am, is, was and so on."""

    third: str
    other: str
    past: str  # "" where the corpus has no past
    german_singular: str
    german_plural: str
    german_past: str  # plural: with -n


MODALS = {
    "can": Modal("can", "can", "be able to", "kann", "können", "konnte"),
    "want to": Modal("wants to", "want to", "wanted to", "will", "wollen", "wollte"),
    "have to": Modal("has to", "have to", "had to", "muss", "müssen", "musste"),
    "should": Modal("should", "should", "", "sollte", "sollten", ""),
    "be allowed to": Modal(
        *("be allowed to", "be allowed to", "be allowed to"), "darf", "dürfen", "durfte"
    ),
}


class Pronoun(NamedTuple):
    """A personal pronoun; its key in `PRONOUNS` is the English nominative."""

    english_object: str
    person: str  # 1s, 3s, 1p or 3p
    german: dict[str, str]  # case: form


def _pronoun(english_object: str, person: str, german: str) -> Pronoun:
    return Pronoun(
        english_object, person, dict(zip(("nom", "acc", "dat"), german.split(), strict=True))
    )


PRONOUNS = {
    "I": _pronoun("me", "1s", "ich mich mir"),
    "he": _pronoun("him", "3s", "er ihn ihm"),
    "she": _pronoun("her", "3s", "sie sie ihr"),
    "it": _pronoun("it", "3s", "es es ihm"),
    "we": _pronoun("us", "1p", "wir uns uns"),
    "they": _pronoun("them", "3p", "sie sie ihnen"),
}

# --- Endings by case and gender ----------------------------------------------------------------


def _endings(*rows: str) -> dict[tuple[str, str], str]:
    """Read a table: rows nom, acc, dat, gen; columns masculine, feminine, neuter, plural."""
    return {
        (case, gender): cell.strip("-")
        for case, row in zip(("nom", "acc", "dat", "gen"), rows, strict=False)
        for gender, cell in zip("mfnp", row.split(), strict=True)
    }


ADJECTIVE_ENDINGS = {
    "weak": _endings("e e e en", "en e e en", "en en en en", "en en en en"),
    "mixed": _endings("er e es en", "en e es en", "en en en en", "en en en en"),
    "strong": _endings("er e es e", "en e es e", "em er em en", "en er en er"),
}
THE = _endings("der die das die", "den die das die", "dem der dem den", "des der des der")
RELATIVE_PRONOUNS = _endings("der die das die", "den die das die", "dem der dem denen")
DER_ENDINGS = _endings("er e es e", "en e es e", "em er em en", "es er es er")
EIN_ENDINGS = _endings("- e - e", "en e - e", "em er em en", "es er es er")
DER_WORDS = {"this": "dies", "every": "jed", "all": "all"}
EIN_WORDS = {
    **{"a": "ein", "no": "kein"},
    **{"my": "mein", "our": "unser", "his": "sein", "her": "ihr", "their": "ihr"},
}
STRONG_WORDS = {"many": "viele", "some": "einige"}


def determiner(word: str, case: str, gender: str) -> tuple[str, str]:
    """Give the German form of an English determiner and the declension it asks for."""
    if word == "the":
        return THE[case, gender], "weak"
    if word in DER_WORDS:
        return DER_WORDS[word] + DER_ENDINGS[case, gender], "weak"
    if word in EIN_WORDS:
        return EIN_WORDS[word] + EIN_ENDINGS[case, gender], "mixed"
    if word in STRONG_WORDS:
        return STRONG_WORDS[word] + ("n" if case == "dat" else ""), "strong"
    return NUMERALS.get(word, ""), "strong"


def adjective_form(adjective: str, declension: str, case: str, gender: str) -> str:
    """Inflect a German adjective; `gender` is m, f, n or p for plural."""
    return ADJECTIVES[adjective].stem + ADJECTIVE_ENDINGS[declension][case, gender]


# --- Entries, one for each row of a table ------------------------------------------------------


@dataclass(frozen=True)
class Noun:
    """One noun in both languages, with what its inflection needs."""

    english: str
    english_plural: str
    german: str
    german_plural: str
    genitive: str
    gender: str  # m, f or n
    weak: bool
    mass: bool
    classes: frozenset[str]
    english_place: tuple[str, ...]  # prepositions for being at it and for going to it
    german_place: tuple[str, ...]

    def german_form(self, case: str, plural: bool) -> str:
        """Inflect the German noun, e.g. dative plural "Kindern", weak accusative "Jungen"."""
        if plural:
            extra = "n" if case == "dat" and self.german_plural[-1] not in "ns" else ""
            return self.german_plural + extra
        if self.weak and case != "nom":
            return self.german_plural
        return self.genitive if case == "gen" and self.gender != "f" else self.german


@dataclass(frozen=True)
class Verb:
    """One verb in both languages, with the frame that says which complements it takes."""

    key: str
    english: str  # base form of the first word
    past: str
    ing: str
    tail: str  # "up", "for": what follows the inflected English word
    infinitive: str  # German, without the separable prefix
    prefix: str
    third: str
    participle: str
    auxiliary: str  # have or be, as the key of a verb
    reflexive: bool
    stative: bool  # no progressive; in this corpus also no past, where German would vary
    preposition: str
    case: str  # of the object
    frame: str
    subjects: tuple[str, ...]
    objects: tuple[str, ...]
    places: tuple[str, ...]

    def present(self, person: str) -> str:
        """Inflect the German present tense for a person: 1s, 3s, 1p, 3p."""
        if self.infinitive == "sein":
            return {"1s": "bin", "3s": "ist"}.get(person, "sind")
        if person in ("1p", "3p"):
            return self.infinitive
        if person == "3s" or self.infinitive in ("mögen", "wissen"):  # ich mag, er mag
            return self.third
        return _german_stem(self.infinitive) + "e"


class Adjective(NamedTuple):
    """One adjective: its German predicate form, its stem before an ending, what it describes."""

    german: str
    stem: str
    classes: frozenset[str]


def _before_ending(verb: str) -> str:
    """Write "cry" as "cri", but keep "play"."""
    return verb[:-1] + "i" if verb[-1] == "y" and verb[-2] not in "aeou" else verb


def english_third(verb: str) -> str:
    """Form the English third person singular."""
    if verb == "have":
        return "has"
    stem = _before_ending(verb)
    return stem + ("es" if stem.endswith(("s", "x", "ch", "sh", "o", "z", "i")) else "s")


def _english_plural(noun: str) -> str:
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def _german_stem(infinitive: str) -> str:
    return infinitive.removesuffix("n").removesuffix("e")


def _genitive(noun: str) -> str:
    """Add -es to one syllable that ends in a consonant and to a hissing sound, else -s."""
    syllables = len(re.findall("[aeiouyäöü]+", noun.lower()))
    consonant = noun[-1] not in "aeiouéh" or noun.endswith("ch")
    return noun + ("es" if noun[-1] in "sßzx" or (syllables == 1 and consonant) else "s")


def _participle(infinitive: str, ending: str) -> str:
    """Form a regular participle; an unstressed first syllable (be-, ver-, -ieren) has no ge-."""
    bare = infinitive.startswith(("be", "ver", "er", "gehör")) or infinitive.endswith("ieren")
    return ("" if bare else "ge") + _german_stem(infinitive) + ending


def _rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in row.split("|")] for row in table.strip().splitlines()]


def _noun(row: list[str]) -> Noun:
    names, forms, *places, classes_text = row
    english, _, plural = names.partition("/")
    article, german, rest, *flags = forms.split()
    german_plural, _, genitive = rest.partition("~")
    classes = {*classes_text.split(), english, *(["place"] if places else [])}
    if classes & {"adult", "child"}:
        classes.add("person")
    return Noun(
        english=english,
        english_plural=plural or _english_plural(english),
        german=german,
        german_plural=german_plural,
        genitive=german_plural if "weak" in flags else genitive or _genitive(german),
        gender={"der": "m", "die": "f", "das": "n"}[article],
        weak="weak" in flags,
        mass="mass" in flags,
        classes=frozenset(classes),
        english_place=tuple(places[0].split()) if places else (),
        german_place=tuple(places[1].split()) if places else (),
    )


def _verb(row: list[str]) -> Verb:
    names, forms, frame, *uses = row
    subjects, objects, places, *_ = (tuple(use.split()) for use in [*uses, "", "", ""])
    key, past, ing, *_ = *names.split("/"), "", ""
    english, _, tail = key.rstrip("_").partition(" ")
    silent_e = english.endswith("e") and english not in ("be", "see")
    marks = {word[1:] for word in forms.split() if word[0] == "+"}
    compound, third, participle, *_ = *(w for w in forms.split() if w[0] != "+"), "-", "-"
    prefix, _, infinitive = compound.rpartition("-")
    stem = _german_stem(infinitive)
    ending = "et" if stem.endswith(("t", "d", "chn")) else "t"
    preposition, _, case = next((mark for mark in marks if ":" in mark), "").partition(":")
    return Verb(
        key=key,
        english=english,
        past=past.split()[0] if past else _before_ending(english) + ("d" if silent_e else "ed"),
        ing=ing.split()[0] if ing else (english[:-1] if silent_e else english) + "ing",
        tail=tail,
        infinitive=infinitive,
        prefix=prefix,
        third=stem + ending if third == "-" else third,
        participle=prefix + (_participle(infinitive, ending) if participle == "-" else participle),
        auxiliary="be" if "sein" in marks or infinitive == "sein" else "have",
        reflexive="sich" in marks,
        stative="stative" in marks,
        preposition=preposition,
        case="dat" if frame == "dat" or case == "D" else "acc",
        frame=frame,
        subjects=subjects,
        objects=objects,
        places=places,
    )


NOUNS = {noun.english: noun for noun in map(_noun, _rows(NOUN_TABLE) + _rows(PLACE_TABLE))}
VERBS = {verb.key: verb for verb in map(_verb, _rows(VERB_TABLE))}
ADJECTIVES = {
    english: Adjective(
        german.partition("~")[0], german.rpartition("~")[2], frozenset(classes.split())
    )
    for english, german, classes in _rows(ADJECTIVE_TABLE)
}
TIMES = {english: (german, tenses.split()) for english, german, tenses in _rows(TIME_TABLE)}
ADVERBS = {english: german for english, german, _ in _rows(ADVERB_TABLE)}
FREQUENCIES = [english for english, _, use in _rows(ADVERB_TABLE) if use == "often"]
MANNERS = {  # verb: adverbs that suit it
    verb: [row[0] for row in _rows(ADVERB_TABLE) if verb.replace(" ", "_") in row[2].split()]
    for verb in VERBS
}
_NAMES = {kind: names.split() for kind, names in _rows(NAME_TABLE)}
PEOPLE = {name: gender for gender in ("m", "f") for name in _NAMES[gender]}
CITIES = {name.partition("=")[0]: name.rpartition("=")[2] for name in _NAMES["city"]}
