"""What node agents say of engines that ended and of weights that could not be fetched, for the reader's language.

An agent runs without our code of pages and reports English; `pools/reasons.py` reads it. What an engine complained of
before it was ready may follow, as the engine said it.
"""

from django.utils.translation import gettext_noop

GPU_TOO_SMALL = gettext_noop("The GPU has too little memory for it.")
GPU_IN_USE = gettext_noop("Something else already uses the memory of its GPU.")
CACHE_TOO_SMALL = gettext_noop(
    "Its weights leave too little memory for the KV cache: shorten --max-model-len or give it more GPUs."
)
MACHINE_TOO_SMALL = gettext_noop("The machine has too little memory for it.")
CODE_NOT_TRUSTED = gettext_noop("The model brings code of its own, which its pool does not trust.")
ARGUMENTS_REFUSED = gettext_noop("The engine refused its arguments.")
NOT_WHOLE = gettext_noop("vLLM is not installed, or not whole.")
FILES_MISSING = gettext_noop("The model's files are not there, or not whole.")
DISK_FULL = gettext_noop("The disk is full.")
PORT_TAKEN = gettext_noop("Another program had taken its port.")
ARGUMENTS_UNFIT = gettext_noop("The engine cannot serve this model with these arguments.")
KILLED = gettext_noop("It was ended from outside (%(signal)s): by hand, or by the kernel for want of memory.")
ENDED_BY_HAND = gettext_noop("It was ended from outside (%(signal)s): by hand.")
BROKE_DOWN = gettext_noop("Its process broke down (%(signal)s).")
UNSEEN = gettext_noop("It ended while no agent was there to see how.")
ENDED_WELL = gettext_noop("It ended by itself, without an error.")
ENDED_WITH = gettext_noop("It ended with exit status %(status)s.")
NO_PROGRAM = gettext_noop("The engine's program is not there.")
NOT_STARTED = gettext_noop("It could not be started: %(error)s.")
STARTED_ANEW = gettext_noop("The machine was started anew.")
NO_VLLM = gettext_noop("vLLM is not installed on this machine.")
NO_VLLM_TO_FETCH = gettext_noop("vLLM is not installed here, and with it what fetches from Hugging Face.")
NOT_FETCHED = gettext_noop("The weights could not be fetched (%(error)s).")
NOT_WRITTEN = gettext_noop("The weights cannot be written here (%(error)s).")
NO_ROOM = gettext_noop("It needs %(needed)s MB of disk; %(free)s MB are free.")
NOT_HERE = gettext_noop("There is no %(location)s on this machine.")
NOT_FROM_HUGGING_FACE = gettext_noop("%(location)s could not be fetched from Hugging Face.")
NO_REPOSITORY = gettext_noop("%(location)s is no repository of Hugging Face.")
NOT_GIVEN = gettext_noop("Hugging Face does not give %(location)s (%(error)s).")
OTHER_THAN_HUGGING_FACE = gettext_noop("%(file)s has another checksum than Hugging Face says.")
OTHER_MANIFEST = gettext_noop("The manifest.json is another one than the pool names.")
NO_MANIFEST = gettext_noop("%(location)s has no manifest.json to compare it with.")
MANIFEST_UNREADABLE = gettext_noop("The manifest.json cannot be read: %(error)s.")
MANIFEST_LEADS_AWAY = gettext_noop("A path in the manifest.json leads elsewhere: %(file)s.")
OTHER_SIZE = gettext_noop("%(file)s has another size than the manifest.json says.")
OTHER_CHECKSUM = gettext_noop("%(file)s has another checksum than the manifest.json says.")
FILE_UNREADABLE = gettext_noop("%(file)s cannot be read (%(error)s).")
MIRROR_UNCHECKED = gettext_noop("A mirror without https:// needs the checksum of its manifest.json.")
MIRROR_WITHOUT_RANGES = gettext_noop("The mirror does not answer ranges.")
MIRROR_OTHER_SIZE = gettext_noop("The mirror's file has another size than its manifest.json says.")
MIRROR_ANSWERS_MORE = gettext_noop("The mirror answers with more than it was asked for.")
MIRROR_UNUSABLE = gettext_noop("The mirror's address cannot be used: %(error)s.")
MIRROR_REFUSES = gettext_noop("The mirror does not give %(file)s (%(error)s).")

# The more particular first: `%(file)s ...` begins with anything.
SENTENCES = tuple(
    sorted((text for name, text in list(vars().items()) if name.isupper()), key=lambda text: text.startswith("%("))
)
