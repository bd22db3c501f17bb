"""Rows of everyday requests (MODERATE) in many voices: chat, instructions, exam questions, puzzles, role-play, writing, small office work.

They exist so that the model learns what most traffic looks like; nothing in this file is ENRICH or COMPLEX.
"""

import random
from collections.abc import Iterator

from training.grammar import lines, sentences

LISTS = {
    name: lines(block.replace(";", "\n"))
    for name, block in {
        "topic": """the water cycle; black holes; the French Revolution; compound interest; stoicism; the immune system; jazz; plate tectonics; supply and demand; vaccines; Roman roads; volcanoes; DNA; Impressionism;
        blockchain; the Silk Road; yoga; sleep; bees; the Cold War; tea ceremonies; evolution; negotiation; recycling; the printing press; magnetism; haiku; feudalism; coral reefs; bread baking; chess openings;
        time management; sourdough; solar panels; public speaking; the Olympics in antiquity; Norse mythology; the human heart; earthquakes; democracy; photosynthesis; minimalism; gravity; machine learning; Buddhism""",
        "thing": """my dog; a lighthouse; autumn; coffee; the sea; an old piano; a robot who learns to paint; my grandmother's kitchen; a lost sock; two rival bakers; a dragon afraid of fire; friendship; a train journey;
        the moon; a detective who is a cat; winter in the mountains; a broken umbrella; first love; a time-travelling librarian; a garden at night; Mondays; a knight without a horse; homesickness""",
        "person": """my boss; a client; my landlord; my teacher; a colleague who is leaving; my neighbour; the HR department; a recruiter; my best friend; the school; a customer; my sister; the gym; an old professor; my team""",
        "matter": """a late delivery; a raise; moving the meeting; a reference letter; the broken heating; a refund; next week's holiday; a birthday invitation; a missed deadline; declining an offer; noise at night;
        a farewell party; feedback on my draft; cancelling my membership; an apology; a job interview; extending the lease; thanking them""",
        "dish": "lasagne; pad thai; lentil soup; pancakes; risotto; guacamole; chili; apple pie; ramen; hummus; scrambled eggs; paella; banana bread; falafel; curry; pesto; omelette; pierogi; shakshuka; fried rice",
        "hobby": "running; guitar; knitting; gardening; drawing; chess; photography; swimming; woodworking; cooking; birdwatching; pottery; cycling; journaling; meditation; climbing; calligraphy",
        "role": """a pirate; a medieval blacksmith; a grumpy wizard; my Spanish teacher; a job interviewer; a dungeon master; Sherlock Holmes; a supportive coach; a sarcastic robot; an innkeeper; a space captain; a wise turtle;
        a strict librarian; Socrates; a hotel receptionist; a therapist; my rubber duck; a sommelier; a detective in 1930s Chicago; a travel agent""",
        "adjective": "short; funny; polite; formal; catchy; sad; rhyming; simple; two-line; heartfelt; dramatic; persuasive; friendly; creative; spooky; minimal",
        "business": "a coffee shop; a bike repair shop; a yoga studio; a podcast about history; a cat shelter; a bakery; a moving company; an app for runners; a second-hand bookshop; a plumbing service; a band; a vegan food truck",
        "word": "ubiquitous; serendipity; laconic; entropy; empathy; ephemeral; candid; pragmatic; irony; nostalgia; ambiguous; resilient; frugal; eloquent; paradox; stoic; novel; mercurial",
        "animal": "cat; dog; octopus; penguin; elephant; bee; crocodile; hummingbird; hamster; owl; whale; snail; horse; axolotl",
        "name": "Priya; Tom; Ana; Wei; Lucas; Fatima; Olga; Sam; Maria; Kofi; Yuki; Ben; Elena; Omar; Ingrid; Jack",
    }.items()
}

MODERATE_INSTRUCTIONS = """
Write a {adjective} {poem|story|song|speech|dialogue|letter|haiku|limerick|bedtime story} about {thing}.
{write|give me|compose} a {adjective} {toast|caption|slogan|bio|tagline} for {business|my sister's wedding|my profile|a retirement party}
Describe {thing} {in three sentences|using only questions|to an alien|in the style of Hemingway|with lots of metaphors}.
Continue this story: {name} opened the door and found {thing}.
Explain {topic} {to a child|in simple terms|in 100 words|with an analogy|like I'm five|for a school presentation}.
What is {topic}{| and why does it matter}?
tell me about {topic}
how does {topic} work
Give an overview of {topic} {with headings|and list its main ideas|, its history and its importance}.
Write {a short essay|an introduction|a 200 word summary|an outline|a five paragraph essay} {on|about} {topic}.
{List|Name|Give me} {three|five|ten} {facts|interesting facts|examples|advantages|misconceptions} {about|of} {topic}.
Compare {topic} and {topic} in a table.
What are the pros and cons of {working from home|electric cars|school uniforms|living in a big city|owning a {animal}|tiny houses|getting a tattoo|freelancing|renting instead of buying}?
Generate a list of {ten|20|five} {names for {business}|gift ideas for {person}|questions to ask {person}|icebreakers|team names|hashtags for {business}|synonyms for '{word}'|words that rhyme with {cat|light|blue|time}}.
Brainstorm {ideas|names|slogans|themes} for {business|a children's birthday|a blog|a school project about {topic}|a podcast}.
{write|draft|help me write} {an email|a message|a text|a letter} to {person} about {matter}
{Reply|respond} to this {email|text} politely: 'Can you send the report by Friday?'
Rewrite the following sentence in {the passive voice|a more formal tone|past tense|simpler words}: The cat chased the mouse across the kitchen.
Edit the following paragraph for grammar: Me and him goes to the store yesterday and buyed some apple.
Correct any mistakes: {She don't like apples.|Their going too the beach.|I has been waiting since two hours.|He speak good english.}
Identify the {noun|verb|adjective|subject} in the sentence: The tired runner finally crossed the bridge.
Classify the following {animals as mammal or bird: bat, penguin, whale, sparrow|words as positive or negative: joy, dread, calm|items as fruit or vegetable: tomato, carrot, plum|sentence as fact or opinion: Blue is the best colour.}
Convert this {list to a table: apples 3, pears 5, plums 2|recipe for four to six people: 200 g flour, 3 eggs|sentence to title case: the lord of the flies|date to ISO: March 5th, 2019}.
Extract the {names|places|dates} from: '{name} met {name} in Lisbon on 4 May 2012.'
Sort these {alphabetically: pear, apple, fig|by size: 7, 3, 19|by year: 1969, 1492, 1815}
What is the {capital|opposite|synonym|plural|etymology|meaning} of {'{word}'|'goose'|'hot'|'quick'}?
use '{word}' in a sentence
define {word}
spell {word}
how do you pronounce {word}
what's a better word for {nice|said|very big|walk slowly}
Suggest {a book|a film|a board game|a hobby|a name for my {animal}} {for someone who likes {topic}|for a rainy day|for two players|}.
recommend some classic {novels|films|albums} about {love|war|the sea|space}
how do I {make|cook} {dish}{| without {eggs|gluten|an oven|milk}}
recipe for {dish}
what goes well with {dish}
can I freeze {dish}
substitute for {butter|eggs|soy sauce|buttermilk|wine} in {dish}
how do I start with {hobby}
{give me|make|create} a {four week|beginner|weekly|30 minute} {plan|schedule|routine} for {hobby}
tips for {hobby|a job interview|falling asleep|saving money|moving house|learning French|a first date|studying for exams|dealing with a difficult boss|a long flight with a toddler}
how do I {remove red wine from a carpet|fix a dripping tap|tie a tie|fold a fitted sheet|jump start a car|change a tyre|clean a keyboard|get gum out of hair|hang a picture|sharpen a knife|descale a kettle}
why do {animal}s {sleep so much|make that noise|have whiskers|migrate}
how long does a {animal} live
is it ok to feed a {animal} bread
what's the difference between {a novel and a novella|affect and effect|weather and climate|a crocodile and an alligator|jam and jelly|a virus and a bacterium|stalactites and stalagmites|baking soda and baking powder|who and whom}
Act as {role}{.| and answer my questions.| and greet me.| and help me practise.}
you are {role}. {Tell me about your day.|I walk in and ask for help.|What do you say to a stranger?|Stay in character.}
let's play {20 questions|hangman|a text adventure|word association|two truths and a lie|trivia}
I want you to pretend to be {role} and me to be {role}
{*walks into the tavern*|*sits down beside you*|*draws my sword*} {who are you?|What news, friend?|I don't want trouble.|got a room for the night?}
Imagine {you could talk to a {animal}|the world had no numbers|dinosaurs never died out|gravity were half as strong}. What would {happen|change|you ask}?
What would {role} say about {topic}?
{hi|hello|hey there|good morning|yo|hiya|greetings|good evening}{|!|, how are you?| {name} here| :)}
{thanks|thank you so much|ty|cheers|great, thanks|that helped a lot|perfect|awesome|ok cool|got it|no worries}{|!|.| :)}
{who are you|what can you do|are you a robot|do you have feelings|what's your name|who made you|can you keep a secret|do you dream}{?|}
I'm {bored|sad|so happy|stressed|lonely|nervous about tomorrow|proud of myself|angry with my brother|in love}
tell me {a joke|a riddle|a fun fact|a story|something nice|a dad joke about {animal}s|a tongue twister}
should I {text my ex|get a {animal}|quit my job|cut my hair|learn piano or guitar|tell her how I feel}
my friend {forgot my birthday|is moving away|won't talk to me|got a promotion and I'm jealous}. what do I do
My {son|daughter|cat|roommate} {won't eat|keeps waking me up|refuses to do chores|lied to me}, any advice?
flip a coin
pick a number between 1 and {10|100}
roll two dice
test
?
ok
no
yes please
asdf
what
lol
repeat that
say something
"""

MODERATE_EXAMS = """
Which of the following is a {mammal? (A) shark (B) dolphin (C) trout (D) frog|prime number? A. 21 B. 27 C. 29 D. 33|noble gas? a) oxygen b) argon c) iron d) sulfur|renewable source? A) coal B) wind C) oil D) uranium}
Question: {What organelle produces ATP?|Which planet has the most moons in the 1990 textbook?|Who formulated the three laws of motion?|What type of bond shares electrons?} Options: {A mitochondria B ribosome C nucleus D vacuole|A Newton B Kepler C Bohr D Hooke|A ionic B covalent C metallic D hydrogen} Answer:
The {plaintiff|defendant} in a contract case claims {duress|mistake|fraud}. Which element must be shown? (A) intent (B) threat (C) consideration (D) notice
In microeconomics, if the price of a substitute rises, demand for the good (A) rises (B) falls (C) is unchanged (D) is undefined
A {45|60|28}-year-old with chest pain on exertion that stops with rest most likely has: A) stable angina B) pericarditis C) reflux D) pneumonia
Read the passage and answer. '{name} planted three oak trees. Two died in the frost.' How many trees survived?
If all {bloops are razzies|roses are flowers|cats are animals} and all {razzies are lazzies|flowers fade|animals breathe}, are all {bloops lazzies|roses fading|cats breathing}?
{name} is taller than {name}. {name} is taller than {name}. Who is the shortest?
Which word does not belong: {apple, banana, carrot, cherry|run, jump, table, swim|red, blue, loud, green}
What comes next: {2, 4, 8, 16|1, 1, 2, 3, 5|3, 6, 9, 12|A, C, E, G|Z, X, V, T}, ?
Today is the second day of the third month of 1966. What is the date ten days ago in MM/DD/YYYY?
I have a {couch, a lamp and two chairs|trumpet, a piano and three drums|cow, two pigs and a goat}. How many objects do I have?
A coin is heads up. {name} flips it. {name} does not flip it. Is it still heads up?
How many times does the letter {r|e|s} appear in {strawberry|Mississippi|banana bread|bookkeeper}?
Sort these words alphabetically: {zebra apple mango|delta echo alpha|violin cello harp}
not ( True ) and ( True or False ) is
Which sentence is sarcastic: 'Great, another Monday.' or 'I went home.'?
What does the underlined word mean: 'She was *reluctant* to leave.'
Fill in the blank: The mitochondria is the ____ of the cell.
Match the author with the book: Orwell, Austen, Melville - Emma, 1984, Moby-Dick
{name} has {12|9|15} apples, gives {4|3|5} to {name} and buys {6|8} more. How many apples are left?
A recipe needs {2|3} cups of flour for {12|24} cookies. How much for {36|60}?
{name} reads {20|15} pages a day. How long does a {300|240} page book take?
If {5|3} painters need {4|8} days for a house, how long do {10|6} painters need?
A farmer has chickens and cows, {20|30} heads and {56|74} legs. How many of each?
A car uses {6|8} litres per 100 km. Petrol costs {1.80|2} a litre. What does a {350|250} km trip cost?
{name} earns {15|22} an hour and works {38|20} hours. What is the weekly pay before tax?
A rectangle's length is twice its width and its perimeter is {36|48}. Find the area.
There are {24|30} students, two thirds are girls. How many boys?
If the temperature was {12|5} degrees this morning and fell by {7|9}, what is it now?
Which is heavier, a kilo of feathers or a kilo of iron?
I speak without a mouth and hear without ears. What am I?
three switches, one bulb in another room, which switch is it
how do you cross a river with a wolf, a goat and a cabbage
Explain why the answer is B: Which gas do plants absorb? A oxygen B carbon dioxide
quiz me on {topic}
make flashcards about {topic}
grade my answer: 'Mitosis makes four different cells'
Homework help: summarise chapter one of {Animal Farm|Romeo and Juliet|Of Mice and Men}
outline an argument for and against {zoos|homework|nuclear power|free public transport}
"""

MODERATE_OFFICE = """
Write a {job ad|cover letter|performance review|LinkedIn post|meeting agenda|status report|thank you note|complaint letter|product description|press release|return policy|newsletter intro|privacy notice in plain words} for {business|a junior accountant|a nurse|a warehouse team}
turn these notes into {minutes|an email|bullet points|a plan}: budget ok, {name} does slides, launch moved to june, catering tbd
excel formula to {sum a column if another column says yes|count unique names|look up a price|remove spaces|get the month of a date|highlight duplicates}
how do I {freeze the top row|make a pivot table|merge cells|protect a sheet|split names into two columns} in {excel|google sheets}
how do I {insert a table of contents|remove a page break|track changes|add footnotes} in word
give me a SWOT analysis for {business}
write a business plan outline for {business}
name three KPIs for {business|a support team|a newsletter}
what should I ask in an interview for {a barista|a data analyst|a team lead}
give me feedback on this sentence from my CV: 'Responsible for managing of several project'
make this sound {nicer|more confident|less rude|shorter}: I need this done today, no excuses.
draft an out of office reply until {Monday|the 14th}
write the {FAQ|about page|welcome message|terms in two lines} for {business}
role of a {scrum master|product owner|notary|paralegal|controller}
what is {EBITDA|a letter of intent|net 30|an NDA|a cash flow statement|GDPR|depreciation|a holding company}
translate to {Spanish|German|French|Polish}: {I'd like to book a table for two.|The invoice is attached.|See you next week!|We regret to inform you.}
plan a {three day trip to Rome|week in Japan|hiking weekend|picnic for ten|baby shower|move to a new flat}
what should I pack for {a week at the beach|a ski trip|hospital|a music festival}
suggest a {weekly meal plan|shopping list|budget for a student|cleaning schedule|reading list on {topic}}
How do I politely {decline an invitation|ask for money back|end a phone call|remind {person} about {matter}}?
what size tv for a 3 metre distance
how many litres are in a bathtub
what's the etiquette for {tipping in Japan|funerals|business cards|wedding gifts}
make a chore chart for {two kids|three roommates}
read this and tell me if it's rude: 'As I said in my last mail, the form is on page 2.'
ELI5 {topic}
sum up {topic} in a tweet
pls explain {topic} simple english
i dont understand {topic} at all can u help
so basically we have to do a presentation about {topic} and im not sure how to start, any ideas for a good intro
umm can you like tell me a bit about {topic} and maybe why people care
"""


def rows() -> Iterator[tuple[str, str, str]]:
    """(label, kind, text), the same every time."""
    rng = random.Random(13)
    for kind, block, times in (
        ("instruction", MODERATE_INSTRUCTIONS, 8),
        ("exam", MODERATE_EXAMS, 4),
        ("office", MODERATE_OFFICE, 5),
    ):
        for text in sentences(block, LISTS, rng, times):
            yield "MODERATE", kind, text
