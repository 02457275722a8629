"""What the simulated engine says: readable sentences from a small stock, in English, French and Spanish.

Every answer begins by saying that it is simulated.  A `Script` is an opening and an endless body, already cut into
tokens and already escaped for JSON, so that sending a token costs a look-up.
"""

import re
import zlib
from functools import lru_cache

import msgspec

from gateway.simulated_engine import tokenizer

OPENINGS = {
    "en": "This is a simulated engine: no model thought about this answer.",
    "fr": "Ceci est un moteur simulé : aucun modèle n'a réfléchi à cette réponse.",
    "es": "Este es un motor simulado: ningún modelo ha pensado en esta respuesta.",
}
BODIES = {
    "en": (
        "The words come one token at a time, at the pace that was asked for.",
        "From the belfry you can see the whole town, its market and the slow river behind it.",
        "Every token that you read here is counted, and the ledger will agree to the last one.",
        "The bell rings once for the morning, twice for the market and three times for the evening.",
        "A clerk writes each figure down, then reads it back aloud before the ink is dry.",
        "Swap this engine for a real one and nothing in your program has to change.",
        "In the tower the charters lie in an oak chest with three locks, and nobody holds all the keys.",
        "When the wind is in the west you can hear the bell as far as the old mill.",
    ),
    "fr": (
        "Les mots arrivent un par un, au rythme demandé.",
        "Du haut du beffroi, on voit toute la ville, son marché et la rivière qui passe derrière.",
        "Chaque jeton lu ici est compté, et le registre sera d'accord jusqu'au dernier.",
        "La cloche sonne une fois le matin, deux fois pour le marché et trois fois le soir.",
        "Un clerc note chaque chiffre, puis le relit à voix haute avant que l'encre ne sèche.",
        "Remplacez ce moteur par un vrai : rien ne change dans votre programme.",
        "Dans la tour, les chartes dorment dans un coffre à trois serrures.",
    ),
    "es": (
        "Las palabras llegan una a una, al ritmo que se ha pedido.",
        "Desde el campanario se ve toda la ciudad, su mercado y el río que pasa detrás.",
        "Cada token que lees aquí se cuenta, y el libro mayor estará de acuerdo hasta el último.",
        "La campana suena una vez por la mañana, dos veces para el mercado y tres veces por la tarde.",
        "Un escribano anota cada cifra y la lee en voz alta antes de que se seque la tinta.",
        "Cambia este motor por uno de verdad y tu programa seguirá igual.",
        "En la torre, las cartas duermen en un cofre con tres cerraduras.",
    ),
}
REASONING = (
    "This is simulated reasoning: nothing is being thought here.",
    "First the question is read, or rather, its tokens are counted.",
    "Then a sentence is taken from a short list, and another one after it.",
    "Nothing is weighed and nothing is remembered.",
    "The answer follows as soon as enough of these tokens have gone by.",
)
ROTATIONS = 4
"""How many orders the sentences of a language come in."""
TEXTS_REMEMBERED = 512

_languages: dict[int, str] = {}
"""The language of a question by its checksum, never its text, because load tests repeat their questions."""
_FRENCH = re.compile(r"\b(?:bonjour|merci|quel|quelle|est-ce|pourquoi|une|les|des|vous|réponds|écris)\b", re.IGNORECASE)
_SPANISH = re.compile(r"[¿¡]|\b(?:hola|gracias|qué|cuál|por qué|una|los|las|usted|responde|escribe)\b", re.IGNORECASE)


class Script:
    """An endless or finite sequence of tokens.

    `opening` comes once, `body` over and over; with an empty body the script ends with its opening.
    `ends` are the numbers of tokens after which a sentence is complete, for as long as the first pass lasts.
    """

    __slots__ = ("_escaped_body", "_escaped_opening", "_texts", "body", "ends", "opening")

    def __init__(self, opening: list[str], body: list[str], ends: list[int]) -> None:
        self.opening, self.body, self.ends = opening, body, ends
        self._escaped_opening = [escape(piece) for piece in opening]
        self._escaped_body = [escape(piece) for piece in body]
        self._texts: dict[int, bytes] = {}

    @property
    def finite_length(self) -> int | None:
        """Tokens of a finite script; None for an endless one."""
        return None if self.body else len(self.opening)

    def natural_length(self, at_most: int) -> int:
        """The tokens up to the last sentence that ends within `at_most`, or `at_most` where none does."""
        if not self.body:
            return len(self.opening)
        return max((end for end in self.ends if end <= at_most), default=at_most)

    def piece(self, number: int) -> str:
        """Token `number`, counted from 0."""
        first = len(self.opening)
        return self.opening[number] if number < first else self.body[(number - first) % len(self.body)]

    def escaped(self, start: int, stop: int) -> bytes:
        """The tokens from `start` up to `stop` as the inside of a JSON string."""
        first = len(self._escaped_opening)
        if stop == start + 1:
            if start < first:
                return self._escaped_opening[start]
            return self._escaped_body[(start - first) % len(self._escaped_body)]
        return b"".join([self.escaped(number, number + 1) for number in range(start, stop)])

    def text(self, tokens: int) -> str:
        """The first `tokens` tokens as text."""
        return "".join([self.piece(number) for number in range(tokens)])

    def escaped_text(self, tokens: int) -> bytes:
        """The first `tokens` tokens as the inside of a JSON string, remembered."""
        found = self._texts.get(tokens)
        if found is None:
            if len(self._texts) >= TEXTS_REMEMBERED:
                self._texts.clear()
            found = self._texts[tokens] = self.escaped(0, tokens)
        return found


def escape(text: str) -> bytes:
    """The text as the inside of a JSON string, UTF-8."""
    return msgspec.json.encode(text)[1:-1]


def finite(text: str) -> Script:
    """A script that says this text and ends."""
    return Script(tokenizer.pieces(text), [], [])


def repeated(chunk: str) -> Script:
    """A script in which every token is this text (for tests that need a chosen text inside one event)."""
    return Script([], [chunk], [])


@lru_cache
def prose(language: str, rotation: int) -> Script:
    """The script of a language (`en`, `fr`, `es`) whose sentences begin at `rotation`."""
    sentences = BODIES[language]
    ordered = [sentences[(rotation * 2 + number) % len(sentences)] for number in range(len(sentences))]
    return _script(OPENINGS[language], ordered)


@lru_cache
def reasoning() -> Script:
    """What a reasoning model would think."""
    return _script(REASONING[0], list(REASONING[1:]))


def _script(opening: str, sentences: list[str]) -> Script:
    first = tokenizer.pieces(opening)
    body: list[str] = []
    ends = [len(first)]
    for sentence in sentences:
        body += tokenizer.pieces(" " + sentence)
        ends.append(len(first) + len(body))
    return Script(first, body, ends)


def language_of(question: str) -> str:
    """`en`, `fr` or `es`, guessed from a few words at the beginning of the question."""
    beginning = question[:300]
    if _SPANISH.search(beginning):
        return "es"
    return "fr" if _FRENCH.search(beginning) else "en"


def answer_to(question: str, choice: int) -> Script:
    """The script for a question; the same question has the same answer, another choice another order of sentences."""
    start = zlib.crc32(question[:300].encode("utf-8", "replace"))
    language = _languages.get(start)
    if language is None:
        if len(_languages) >= TEXTS_REMEMBERED:
            _languages.clear()
        language = _languages[start] = language_of(question)
    return prose(language, (start + choice) % ROTATIONS)
