"""Rows across the border between what changes (ENRICH) and what is settled (MODERATE).

Contrast sets: the same offices, records, products, places and words such as "latest" on both sides. Labels follow from the block a line stands in.
"""

import random
from collections.abc import Iterator

from training.grammar import lines, sentences

LISTS = {
    name: lines(block.replace(";", "\n"))
    for name, block in {
        "country": """France; Germany; Japan; Brazil; Canada; Italy; Spain; Mexico; South Korea; Nigeria; Kenya; Egypt; Turkey; Poland; Sweden; Norway; Finland;
        Argentina; Chile; Peru; India; Pakistan; Thailand; Vietnam; Indonesia; the Philippines; Australia; New Zealand; South Africa; Ireland; Portugal; Greece;
        the Netherlands; Belgium; Switzerland; Austria; Hungary; Romania; Ukraine; Ghana; Ethiopia; Israel; Colombia; the UK; the US; Bangladesh; Iceland""",
        "city": """Berlin; Lisbon; Chicago; Toronto; Sydney; Mumbai; Lagos; Madrid; Vienna; Prague; Seattle; Austin; Denver; Boston; Rome; Naples; Osaka; Seoul; Nairobi;
        Cairo; Dublin; Glasgow; Leeds; Hamburg; Zurich; Oslo; Helsinki; Warsaw; Athens; Istanbul; São Paulo; Lima; Bogotá; Manila; Hanoi; Perth; Auckland; Miami;
        Portland; Phoenix; Marseille; Antwerp; Kraków; Porto; Rotterdam; my city; our town""",
        "company": """OpenAI; Microsoft; Intel; Boeing; Nestlé; Volkswagen; Starbucks; Disney; Nokia; Sony; Spotify; Airbus; Uber; Shell; Pfizer; Siemens; Adobe; Nike; IKEA;
        Twitter; Netflix; Samsung; Toyota; Ford; AMD; Nvidia; Reddit; PayPal; Salesforce; Oracle; IBM; Ericsson; BP; HSBC; Deutsche Bank; Zara; Lego; Ryanair; Instagram""",
        "office": """president; prime minister; foreign minister; finance minister; minister of health; chancellor; defence minister; central bank governor; leader of the opposition;
        head of state; education minister; ambassador to the UN; speaker of parliament; chief justice; first lady; king; vice president""",
        "post": """CEO; CFO; chief executive; chairman; head of design; CTO; majority owner; largest shareholder; head of AI""",
        "org": """the World Bank; NATO; the IMF; the UN; the European Commission; the WHO; FIFA; the Federal Reserve; the European Central Bank; UNESCO; the IOC; the Red Cross;
        the Labour Party; the Green Party; the NBA; UEFA; Formula One; the FBI; NASA; the Bank of England; Mozilla; the Linux Foundation; Greenpeace; the Vatican; the WTO; the BBC""",
        "club": """Arsenal; Barcelona; Bayern Munich; Real Madrid; Juventus; Ajax; Liverpool; Chelsea; the Lakers; the Celtics; the Yankees; the Dodgers; the Chiefs; the Cowboys;
        Inter Milan; PSG; Manchester United; the Maple Leafs; the Warriors; Benfica; Boca Juniors; Galatasaray; Ferrari; Mercedes; Celtic; the All Blacks""",
        "athlete": """Lionel Messi; Cristiano Ronaldo; LeBron James; Novak Djokovic; Max Verstappen; Lewis Hamilton; Simone Biles; Kylian Mbappé; Steph Curry; Iga Swiatek; Erling Haaland;
        Shohei Ohtani; Patrick Mahomes; Carlos Alcaraz; Tadej Pogačar; Magnus Carlsen; Usain Bolt; Mikaela Shiffrin; Mohamed Salah; Jannik Sinner""",
        "celebrity": """Taylor Swift; Elon Musk; Beyoncé; Rihanna; Tom Hanks; Keanu Reeves; Oprah Winfrey; Jeff Bezos; Adele; Bad Bunny; Zendaya; Harrison Ford; Clint Eastwood; Billie Eilish;
        Mark Zuckerberg; Bill Gates; Greta Thunberg; Kanye West; Dolly Parton; Leonardo DiCaprio; Ed Sheeran; Lady Gaga; Warren Buffett; Stephen King; Margaret Atwood""",
        "dead": """Abraham Lincoln; Winston Churchill; Napoleon; Marie Curie; Leonardo da Vinci; Mozart; Nelson Mandela; Einstein; Cleopatra; Charles Darwin; Shakespeare; JFK; Gandhi;
        Isaac Newton; Ada Lovelace; Frida Kahlo; Freddie Mercury; Elvis Presley; Marilyn Monroe; Julius Caesar; Queen Victoria; Nikola Tesla; Alan Turing; Rosa Parks; Beethoven""",
        "year": "1066; 1492; 1776; 1789; 1848; 1912; 1936; 1945; 1957; 1963; 1969; 1974; 1986; 1989; 1991; 1994; 1998; 2001; 2004; 2008; 2010; 2012; 2014; 2016",
        "past": "in 1998; in 2006; in 2010; in 2014; in 1966; back in 1990; in the 1980s; in the nineties; in 2002; during the Cold War; in the 19th century; in 1974; in 2012; in 1936",
        "software": """Python; Node; PostgreSQL; Ubuntu; Debian; Kubernetes; React; Rust; Go; Django; Docker; Blender; Firefox; Chrome; iOS; Android; Windows; macOS; TypeScript; PyTorch;
        TensorFlow; Redis; nginx; Home Assistant; VS Code; Godot; Unity; Linux kernel; Llama; llama.cpp; vLLM; Ollama; Proxmox; TrueNAS; Jellyfin; OpenWrt; Vue; Svelte; FFmpeg; Terraform; NixOS""",
        "product": """iPhone; PlayStation; Nintendo Switch; Tesla Model 3; RTX 5090; Raspberry Pi; MacBook Air; Steam Deck; Galaxy phone; Kindle; Dyson vacuum; Quest headset; iPad; Rivian truck;
        Ryzen 9; Garmin watch; AirPods; Xbox; DJI drone; ThinkPad; Fairphone; Pixel phone""",
        "asset": """gold; silver; crude oil; Bitcoin; Ethereum; Tesla stock; Nvidia shares; the S&P 500; the DAX; natural gas; copper; wheat; coffee beans; lumber; petrol; diesel; eggs; Solana; the Nikkei;
        Apple stock; a barrel of Brent; electricity; heating oil; uranium; 10-year treasuries; Dogecoin""",
        "service": "GitHub; Slack; Netflix; AWS; Discord; Cloudflare; Gmail; WhatsApp; Reddit; Spotify; ChatGPT; Zoom; Steam; PayPal; Instagram; Teams; Azure; npm; PyPI; Starlink",
        "event": """Super Bowl; Champions League final; Tour de France; Eurovision; Oscars; World Cup; Grammys; Booker Prize; Nobel Peace Prize; Wimbledon; Grand National; Stanley Cup; Ballon d'Or;
        NBA finals; World Series; Monaco Grand Prix; Rugby World Cup; Golden Globes; Palme d'Or; Turner Prize; Winter Olympics; Copa América; Ryder Cup; Masters; Emmy for best drama""",
        "shop": "Aldi; the DMV; the post office; IKEA; Costco; the library; the town hall; the pharmacy on Main Street; Trader Joe's; the swimming pool; the British Museum; Lidl; the Louvre; Home Depot; the zoo; the passport office",
        "place": "Yosemite; the Eiffel Tower; Machu Picchu; Disneyland; the Alhambra; Heathrow; the Golden Gate Bridge; the Channel Tunnel; Mount Etna; Venice; the Suez Canal; Route 66; the Brenner Pass; JFK airport; Yellowstone; Chamonix",
        "disease": "measles; bird flu; cholera; dengue; COVID; mpox; ebola; whooping cough; norovirus; polio; RSV",
    }.items()
}

# What changes, without a word that says so: office-holders, records, counts, ages, owners, availability.
ENRICH_UNMARKED = """
Who is the {office} of {country}?
who's the {office} in {country}
name the {office} of {country}
Tell me who the {office} of {country} is.
how old is the {office} of {country}
Which party does the {office} of {country} belong to?
which party governs {country}
Who runs {org}?
Who is in charge of {org}?
who heads {org}
who leads {org}
Who is the {post} of {company}?
{company} {post}?
whats the name of the {company} {post}
How many people work for {company}?
How much is {company} worth?
who owns {company}
Is {company} profitable?
Does {company} still own {company}?
Where is the headquarters of {company}?
is {celebrity} married
Is {celebrity} still alive?
How old is {celebrity}?
How many kids does {celebrity} have?
what's {celebrity}'s net worth
who is {celebrity} dating
Where does {celebrity} live?
How many followers does {celebrity} have on Instagram?
Which club does {athlete} play for?
what team is {athlete} on
Is {athlete} injured?
How many titles has {athlete} won?
how many goals has {athlete} scored in his career
is {athlete} retired
Who coaches {club}?
who is the manager of {club}
who's the captain of {club}
{club} squad list
when do {club} play
did {club} win
{club} score
how are {club} doing in the league
who plays goalkeeper for {club}
Who holds the world record in the {marathon|100 metres|pole vault|mile|long jump|200m butterfly}?
What's the {tallest building|longest bridge|fastest supercomputer|largest cruise ship|most expensive painting ever sold|most visited museum} in the world?
What is the {best-selling video game|highest-grossing film|most streamed song|most subscribed YouTube channel|most followed account|best-selling car|longest running TV show still on air} of all time?
Who is the richest {person|woman|person under 30} in {the world|Europe|Asia|Africa}?
Who is the {oldest living person|oldest head of state|youngest head of government|longest-reigning monarch} in the world?
How many {countries are in NATO|members does the EU have|countries use the euro|moons does Saturn have|exoplanets have been confirmed|people live in {city}|elements have been confirmed}?
What is the population of {country}?
population {city}
What is the {unemployment rate|inflation rate|minimum wage|national debt|GDP per capita|median house price|retirement age|corporate tax rate|life expectancy} in {country}?
{minimum wage|VAT rate|interest rate|speed limit|tax-free allowance|child benefit|legal drinking age} {country}
how much does {a stamp|a bus ticket|a pint of beer|a Big Mac|a litre of petrol|rent for a one bedroom flat|a driving licence|a passport} cost in {country}
How much is {a Netflix subscription|YouTube Premium|a gym membership|ChatGPT Plus|a Costco membership|Amazon Prime|Spotify family} {in {country}|}?
what does the {product} cost
how much for a {product}
{product} price
cheapest place to buy a {product}
Is the {product} in stock {at {shop}|anywhere|}?
is the {product} any good compared with its rivals? read some reviews
{asset} price
what is {asset} {trading at|at|worth}
how did {asset} close
how much is an ounce of {gold|silver|platinum}
100 {usd to eur|gbp to usd|euros in yen|dollars in pesos|swiss francs to euro|CAD to USD}
how many {rupees|lira|yen|zloty|pesos} is {20|50|300|1500} {dollars|euros|pounds}
Is {service} down?
{service} not loading for anyone else?
is {service} having problems or is it me
which version of {software} should I install for LTS support
what version of {software} is out
has {software} {dropped support for Windows 10|shipped its new release|fixed that memory leak|moved to the new license}
does {software} support {Python 3.14|ARM64|Wayland|HDR|passkeys} yet
when does support for {software} {18|20|3.9|7|12} end
when is the next {software} release due
what's new in {software}
is {software} {5|6|7|4} out
Is there a {film|series|sequel} of {Dune|Zelda|Elden Ring|The Last of Us|Project Hail Mary|Avatar|Shrek|Gladiator} coming?
What time does {shop} {open|close}?
{shop} opening hours
are {shop} and {shop} open on {Sundays|Easter Monday|bank holidays|Christmas Eve}
is {shop} open
when does {shop} close
Is {place} open {to visitors|}?
How long is the {queue|wait|line} at {place}?
do I need a visa for {country} with a {British|German|Indian|Kenyan|US} passport
is it safe to travel to {country}
what are the entry requirements for {country}
When is the next {train|bus|ferry|flight} {to|from} {city}?
flights from {city} to {city}
cheap hotels in {city}
good sushi in {city} that takes reservations
find me a {plumber|dentist|vet|mechanic|locksmith} near {city}
what's playing at the cinema in {city}
who's on tour {near {city}|in {country}}
{weather|forecast|temperature|air quality|pollen count|UV index} {city}
will I need an umbrella in {city}
do I need a coat
is it going to freeze {in {city}|}
how's traffic on the {M25|A4|I-95|405|ring road}
is {place} {closed|snowed in|on fire|on strike}
when does the sun set in {city}
when is {Easter|Ramadan|Diwali|Thanksgiving|the clocks going back|Mother's Day|Chinese New Year|the next full moon|the next eclipse visible from {city}}
what day is it
what time is it in {city}
How many days until {Christmas|summer|my birthday on June 3rd|the election|Halloween}?
who is ahead in the polls in {country}
Who won the {event}?
who got the {event}
when is the {event}
Where will the {event} be held?
who is hosting the {event}
who is favourite for the {event}
Are there cases of {disease} in {country}?
is there an outbreak of {disease}
Is there a vaccine for {dengue|RSV|Lyme disease|malaria|norovirus}?
which {antibiotics|drugs|cough syrups|baby formula brands} have been recalled
is there a recall on the {product}
is {celebrity} going to jail
What happened to {company}?
what did {celebrity} say about {company}
has {company} {laid people off|been sold|gone bankrupt|released its earnings|settled the lawsuit|recalled the {product}}
did {country} {win the case|sign the treaty|hold elections|lift the tariffs|join the euro|legalise cannabis|ban TikTok}
is {cannabis|same-sex marriage|sports betting|euthanasia|crypto|abortion} legal in {country}
is {country} in a recession
is there a war in {country|the region|Sudan}
are {country} and {country} still at war
how many people died in the {earthquake|flood|fire|crash|storm} {in {country}|}
who is on strike in {country}
what's everybody talking about on Twitter
gas prices near me
mortgage rates
is there school in {city}
who is performing at {Glastonbury|Coachella|Roskilde|the halftime show|Tomorrowland}
who presents {Top Gear|the evening news on channel 4|Jeopardy|the Great British Bake Off}
who plays {James Bond|Doctor Who|Batman|Spider-Man}
who voices {Mickey Mouse|Bart Simpson|Geralt|Sonic} these days
how many seasons of {Stranger Things|The Simpsons|Severance|Bluey|Grey's Anatomy} are there
How many episodes of {One Piece|Doctor Who|The Boys} have aired?
Which iPhone is the best to buy?
what's the best {laptop under 800 euros|budget phone|gaming monitor|robot vacuum|e-bike|NAS drive|local LLM for 24 GB of VRAM|credit card for travel|savings account} you can get
which LLM tops the {arena|leaderboard|benchmarks}
what context length does {Gemini|Claude|Grok|DeepSeek|Llama} have in its newest model
how much is a million tokens of {Claude|Grok|GPT|Gemini|DeepSeek}
"""

# The same kind of need with a word that says so, in many voices.
ENRICH_MARKED = """
{latest|newest|most recent} {version|release} of {software}?
what's the {latest|newest} {software} version and what changed
{breaking|today's|this morning's} news {from {country}|in {city}|about {company}|on {disease}|}
any news {about|on|from} {company|celebrity|country|the strike|the trial|the Artemis mission|the ceasefire}
whats going on in {country} {right now|at the moment|today}
Give me a summary of {today's|this week's} {headlines|news|market moves|AI announcements|football results}.
what happened {yesterday|last night|over the weekend|this morning} in {city|country|the stock market|parliament|the premier league}
who won {last night|yesterday|on Sunday|the derby last weekend}
what is the {current|present} {weather|temperature|time} in {city}
{current|today's|live} {exchange rate|price|quote} {of|for} {asset}
how is {asset} doing {today|this week|since the Fed meeting}
is {service} down {right now|again|today}
will it {rain|snow|be windy|be above 30} {tomorrow|this weekend|tonight|on Friday} in {city}
What are the {newest|upcoming|most anticipated} {films|albums|phones|games|books} {this month|this year|coming out in the next weeks}?
look up {the address of {shop}|reviews of the {product}|who directed the new Superman|the opening hours of {shop}|the phone number of {company}}
{google|search the web for|search online|look online for|find online} {the cheapest {product}|how people fixed the {software} update bug|what critics say about the new {celebrity} album|a source for this}
check {the website|online|the internet|the news} {whether|if} {place} is open
Can you browse to https://{example.org/changelog|news.ycombinator.com|en.wikipedia.org/wiki/Tardigrade|docs.python.org/3/whatsnew} and {summarize it|tell me what it says}?
summarize this article: https://www.{bbc.com/news/world-6612|nytimes.com/politics/budget|heise.de/-923|theverge.com/gadgets/review}
what does this page say https://{example.com/pricing|blog.example.net/post/12|github.com/ml-explore/mlx/releases}
open {reddit.com/r/selfhosted|nasa.gov|weather.gov} and give me the top three
Who is the current {office} of {country}?
who's the {office} of {country} now
who is the {post} of {company} {these days|now|at the moment}
Has {athlete} {retired|signed|been transferred} {yet|already}?
is {celebrity} still {CEO|married|on tour|in the band|president}
what time does {club} play {tonight|tomorrow|this weekend}
what movies are showing {tonight|near me|this weekend}
any {concerts|markets|meetups|events|festivals} in {city} {this weekend|tonight|next month}
{how far along is|what's the status of} the {construction of the new airport|Starship programme|EU AI act|HS2 line|lawsuit against {company}}
what's the {current|latest} {unemployment rate|inflation figure|interest rate|population} {in|of} {country}
has the {event} been {postponed|cancelled|announced|decided} yet
what's trending {on TikTok|on GitHub|on YouTube|in AI|today}
{hey|ok} what's the date today
did anything happen with {company|country|celebrity} since yesterday
What has changed in {software} since {version 3|last year|the last LTS|June}?
are there {delays|cancellations|strikes|roadworks} {at {place}|on the trains to {city}|today}
I'm flying to {city} tomorrow, what should I pack for the weather there
we're going to {place} on Saturday, will it be crowded and is it open
is my flight {LH454|BA117|UA88|KL1023} on time
how much did {asset} move {today|overnight|since monday}
what papers came out {this week|recently|this month} on {diffusion models|CRISPR|perovskite cells|long context}
is there a newer paper than the 2023 one about {retrieval|protein folding|Alzheimer's}
Which countries have {recently|just|this year} {changed their prime minister|raised interest rates|joined NATO|banned phones in schools}?
what are the {new|updated|current} rules for {importing a dog to {country}|heat pump subsidies|carry-on liquids|working from abroad|tax on crypto}
how many subscribers does {MrBeast|PewDiePie|that channel} have {now|today|at the moment}
"""

# Settled: dated, historical, definitional, scientific, generic. Same entities.
MODERATE_SETTLED = """
Who was the {office} of {country} {past}?
who was {office} of {country} in {year}
Who was the first {office} of {country}?
what does {a|the} {office} of {country} do
What powers does the {office} of {country} have?
How is the {office} of {country} {chosen|elected|appointed}?
explain the role of {org}
When was {org} founded?
why was {org} created
what does {org} do
Who founded {company}?
When was {company} founded?
what does {company} make
why is {company} called that
how did {company} start
What is the capital of {country}?
capital of {country}
what language do they speak in {country}
which continent is {country} on
what currency does {country} use
what are {country}'s neighbours
which sea borders {country}
Give me a short history of {country}.
what is {city} famous for
how did {city} get its name
what river runs through {city}
{When|Where} was {dead} born?
how did {dead} die
Who was {dead}?
what is {dead} best known for
How old was {dead} when {he|she|they} died?
who was {dead} married to
Who won the {event} in {year}?
who won the World Cup in {1954|1966|1978|1990|1998|2006}
who hosted the Olympics in {1936|1972|1992|2000|2004|2012}
What happened in {year}?
What happened in {country} {past}?
what was the news in {1969|1989|1912} about
Which club did {athlete|Pelé|Maradona|Zidane|Johan Cruyff} start {his career|} at?
what did {athlete} become famous for
where was {athlete|celebrity} born
Where did {celebrity} grow up?
What was {celebrity}'s first {job|album|film|big hit}?
what are the rules of {football|rugby|cricket|curling|chess|tennis|baseball}
how long is a {marathon|football match|basketball court|tennis court|cricket pitch}
how many players are {on|in} a {hockey|baseball|volleyball|water polo} team
explain {inflation|interest rates|a stock split|how share prices form|what an index fund is|quantitative easing|short selling|a bond yield}
what is {gold|silver|crude oil|copper|lithium} used for
how is {gold|coffee|steel|petrol|electricity|natural gas} {made|mined|produced}
what is Bitcoin and how does mining work
what moves the price of {oil|gold|wheat|electricity}
how do exchange rates work
how does {weather forecasting|a barometer|a weather radar} work
why does it {rain|snow|hail|thunder}
What causes {hurricanes|the seasons|fog|tides|monsoons|the northern lights}?
what's the climate like in {country} in {July|winter|spring}
what is a typical temperature in {city} in {January|August}
what is {software} used for
what does {software} do
explain {software} to a beginner
how do I {install|uninstall|update|configure} {software}
how do I check {which|what} version of {software} I have
what is the command to show the {software} version
who created {software}
when was {software} first released
what was new in {Python 3.8|Java 8|ES6|C++11|Python 3|HTML5|Windows 95|C++17}
what are the {main|key} differences between {Python 2 and 3|HTTP/1.1 and HTTP/2|SQL and NoSQL|REST and GraphQL|IPv4 and IPv6|C++11 and C++03}
how does {service} {make money|work}
what kind of company is {company}
what is a status page
how do I set up a {product}
how do I reset my {product}
my {product} won't {charge|turn on|connect to wifi}, what can I try
what does LTS mean
What are the symptoms of {disease}?
how is {disease} transmitted
who discovered the vaccine for {polio|smallpox|rabies}
when was the {Spanish flu|Black Death|eradication of smallpox}
how does a {visa|passport|customs check} work
what do museums do on closing days
What are the planets in order?
how many bones does a {human|cat|shark} have
how far is {the moon|the sun|Mars} from Earth
what's the boiling point of {water|ethanol|nitrogen}
how tall is {Mount Everest|the Eiffel Tower|a giraffe|Kilimanjaro}
how long is the {Nile|Danube|Great Wall|Panama Canal}
Who wrote {Hamlet|Don Quixote|Frankenstein|The Trial|War and Peace|Beloved|Dracula|1984}?
who painted {Guernica|the Mona Lisa|The Night Watch|Starry Night}
who composed {the Four Seasons|Bolero|The Magic Flute}
who directed {Jaws|Psycho|Metropolis|Seven Samurai|Alien}
who played {James Bond in Goldfinger|the Joker in The Dark Knight|Neo in The Matrix|Rick in Casablanca}
how does {Macbeth|The Great Gatsby|Titanic|Inception} end
what year did {the Titanic sink|the Berlin Wall fall|man land on the moon|the euro come into use|Constantinople fall|World War I begin|the Beatles split up}
how many episodes does the original {Star Trek|Fawlty Towers|Cowboy Bebop} have
what's the plot of {Dune|Elden Ring|Zelda: Ocarina of Time|Blade Runner}
when is {Christmas|Halloween|Bastille Day|Valentine's Day} celebrated and why
how is the date of Easter calculated
why do we change the clocks
how do {leap years|time zones|eclipses} work
what are typical opening hours of shops in {country}
how do polls work
how are presidents elected in {France|the US|Germany}
what is a recession
what is a ceasefire
what was the {Marshall Plan|Suez crisis|Dreyfus affair|Watergate scandal|Cuban missile crisis|Boston Tea Party|Chernobyl disaster|dot-com bubble|2008 financial crisis}
What caused the {fall of Rome|First World War|French Revolution|Great Depression|2008 crash|Irish famine|Challenger disaster}?
what's the difference between {weather and climate|a king and an emperor|a stock and a bond|a prime minister and a president|gross and net|a recession and a depression}
"""

# False "latest", "now", "today", "current", "price", "news", "weather", "search", "live": words of change in a sense that needs no web.
MODERATE_FALSE_FRIENDS = """
how do I get the {latest|newest|most recent} {file|commit|tag|row per user|message in the queue|log entry|migration|backup} {in|from} {a folder|git|SQL|a bash script|my table|an S3 bucket}
write a {bash|python|powershell} {one-liner|script} that {deletes all but|copies|opens|prints|emails me} the {latest|newest|five most recent} {file|backup|screenshot|download}s
SQL query for the {latest|current|most recent} {price per product|order per customer|login of each user|status per device}
how do I print {today's|the current|yesterday's|tomorrow's} date in {python|javascript|bash|excel|PHP|Go|Java|SQL}
python function that returns the current {time|timestamp|directory|user|git branch|week number}
how to show the current {branch|directory|locale|path|shell|process id} in {git|the terminal|zsh|vim}
write code that {fetches|polls|scrapes|downloads} the {weather|bitcoin price|stock quotes|exchange rates|latest headlines|RSS feed} {from an API|every 5 minutes|with requests|and stores it in sqlite|and draws a chart}
{JavaScript|React|Python|Flutter} {component|widget|snippet|class} showing {live weather|current stock prices|breaking news|a live score|today's date|a countdown to New Year}
parse a {weather|stock|news|currency} API response like this: temp=21;city=Oslo
mock the {weather|news|price} service in my unit test
why does my weather app show {undefined|NaN|yesterday's temperature}
my cron job should run {today|now|every night|tomorrow at 5}, what's the syntax
translate '{what is the weather today|the train is late today|who won the match|how much does it cost now|is the shop open|the news is bad}' into {French|German|Spanish|Japanese|Italian|Polish}
how do you say '{what's the latest|what time is it|is it open today|how much is this|see you tomorrow}' in {Portuguese|Dutch|Korean|Turkish|Arabic|Greek}
write a {short story|poem|song|haiku|limerick} about {today's weather|the evening news|a stock market crash|the last train tonight|a newspaper from tomorrow|the price of bread}
write a fake news {headline|report|broadcast} about {aliens in {city}|a cat elected mayor|the moon going on strike}
write a weather report for {Mars|Middle-earth|a fantasy kingdom|Gotham}
I feel {sad|great|tired|anxious|bored} {today|right now|this week|at the moment}
I had a {terrible|great|weird} day {today|} and need to {vent|talk}
what should I {cook|wear to a wedding|read|do when bored} {tonight|today|this weekend|now}
give me a workout for {today|this morning|tonight} without equipment
help me plan my {day|week|Saturday}: {gym, groceries, calling mom|work until 5, then dinner with friends}
write a message to my {boss|team|landlord|neighbour} that I'm {sick today|late this morning|away next week|working from home tomorrow}
rewrite: 'our latest release is available now'
proofread this: 'The currant price are listed on are website and updated dayly.'
write a press release for our new {app|coffee shop|album|e-bike}, available today
write a product description for the latest model of our {toaster|backpack|running shoe|desk lamp}
what does 'breaking news' mean
what does {current account|current liabilities|spot price|live wire|up to date|as of now|hot off the press} mean
{explain|define} {current|alternating current|electric current|ocean currents|current ratio}
what is the formula for current given voltage and resistance
a wire carries a current of {2|5|12} A, find the {force|field|power|charge after 10 s}
the price of a {shirt|bike|book|phone} {rose|fell} by {10|20|15}% and is now {$66|80 euros|£120}, what was it before
if the stock was at {40|55|120} and went up {5|8|12} percent, what is it now
a shop sells apples at {2|3} for {1 dollar|90 cents}. how much do {8|14|30} cost
It is {3|7|10} o'clock now. What time will it be in {50 minutes|26 hours|90 minutes}?
Tom is {12|9|15} years old now. In how many years will he be twice as old as {his sister, who is 7|Ann, who is 5}?
if today is {Monday|Thursday|Saturday}, what day is it in {45|100|365} days
what's the best time of {the day|the year} to {water plants|visit {country}|plant garlic|prune roses|drink coffee}
explain how a {search engine|binary search|breadth-first search|web crawler|news feed ranking} works
implement {binary search|depth-first search|a search bar filter|fuzzy search} in {python|typescript|go|C}
what is web scraping
how do I search for a {string|file|regex} in {vim|linux|git history|VS Code|a directory}
what's new in my draft compared with the older version? Old: 'We sell fish.' New: 'We sell fresh fish.'
how do live {streams|albums|migrations|views in postgres} work
who is the protagonist of {Emma|Moby-Dick|Dracula}
what's the latest date I can hand this in if the deadline is {30 days after March 3|two weeks after May 20}
I updated to the newest {driver|kernel|firmware|node} and now {the screen flickers|the wifi is gone|npm fails with EACCES|sound crackles}. what can I check
today in class we learned about {photosynthesis|fractions|the Tudors|vectors}, can you quiz me
Pretend you are a {news anchor|weather presenter|stock broker|sports commentator|train conductor} and {greet me|introduce yourself|tell a joke}
role play: you're the {president of a small island|CEO of a lemonade stand|mayor of a haunted town}, I interview you
who would win, {a bear or a gorilla|Batman or Spider-Man|ninjas or pirates}
how do news agencies verify stories
Give me tips for reading the financial news.
what questions should I ask before buying a {used car|house|laptop|puppy}
draft an email asking a supplier for their current price list
make up today's specials for a diner menu
the newest member of our team is shy, how do I include her
In the current implementation the loop never ends:\nwhile i < 10:\n  print(i)\nwhy?
Summarise: 'Shares fell today after the company cut its forecast. Analysts had expected growth. The CEO blamed the weather.'
Is this headline grammatical: 'Minister resign after today's scandal'?
Extract all dates and prices: 'On 3 May 2021 the price rose to $4.20, on 9 June 2022 to $5.10.'
Turn this news story into three bullet points: 'The council voted on Tuesday to close the bridge for repairs. Buses will be diverted. Residents complained.'
classify the sentiment of this tweet: 'cant believe the trains are late AGAIN today'
"""

# The same need in freer wording, each sentence by itself.
ENRICH_FREE = """
how do I get to {place} from {city} {by train|by car|avoiding tolls|}
should I take the {A8|M4|I-90|ring road|tunnel} or the {coast road|back roads|bridge} to {city}
can I get {home|to work|to the airport} without {traffic|a jam|roadworks}
what did {the ECB|the Bank of Japan|parliament|the jury|the supreme court|the committee} {decide|announce|rule|say about rates}
where is {the hurricane|the typhoon|the storm|the wildfire|the ISS|my train} {|headed|exactly}
are there seats left on the {18:05 to {city}|night train to {city}|morning flight}
can I {drive|work|vote|buy a house|open a bank account} in {country} with a foreign {licence|passport|residence permit}
is it allowed to {fly a drone|park a camper|bring a dog|vape} {in {city}|at {place}}
Which {country} politician holds the {office} job?
I keep forgetting who replaced {celebrity} as {post}
my quiz team needs to know who captains {club}
what's the going rate for a {plumber|babysitter|wedding photographer|tattoo} in {city}
what do {teachers|junior doctors|bus drivers|software engineers|pilots} earn in {country}
average rent for a two bed in {city}
how expensive is {city} to live in compared with {city}
is it cheaper to {fly|take the train} from {city} to {city}
how much tax would I pay on {40k|85k|120k} in {country}
how long does it take to get a {passport|visa|driving test|planning permission|hip replacement} in {country}
are masks required in {country}
can you still buy petrol cars in {country}
is {company} hiring
is {company} publicly traded
does {company} pay a dividend
{company} stock: buy or sell?
who are {company}'s main competitors and how big are they
what does {company} have in the pipeline
how many stores does {company} have
which countries can't use {service}
does {service} work in {country}
does {service} let you {export your chats|share passwords with family|use passkeys|disable ads}
how much storage do you get free with {Gmail|iCloud|OneDrive|Dropbox|Proton}
what's the message limit on the free tier of {ChatGPT|Claude|Gemini|Copilot}
which model does {ChatGPT|Copilot|Perplexity|Cursor} use
is there an official {app|plugin|SDK|Docker image} for {software}
does {software} run on {Apple silicon|a Raspberry Pi 5|Windows ARM|FreeBSD}
what licence is {Redis|Terraform|Elasticsearch|MongoDB|Llama} under
who maintains {software}
how many stars does {software} have on GitHub
is {software} {deprecated|abandoned|still maintained|safe to use in production}
known vulnerabilities in {software}
what graphics cards does {company} sell
which phone has the best {camera|battery|zoom}
what's the fastest {consumer SSD|CPU for gaming|electric car you can buy|train in service}
which electric cars have more than 500 km of range
what's the top speed of the {product}
is the {product} waterproof
how many {product}s have been sold
when does the {product} come out in {country}
are there tickets left for {celebrity} {in {city}|}
how much are tickets for {club|the zoo|the {event}|a Broadway show}
who's headlining {Glastonbury|Primavera|Wacken|Lollapalooza}
what is {celebrity} working on
did {celebrity} {win an Oscar|release an album|have a baby|get divorced|run for office}
how did {celebrity}'s tour do
what's {celebrity}'s newest song called
is {celebrity} in {prison|hospital|rehab|parliament}
who is {celebrity}'s {wife|husband|boyfriend|manager}
which teams are in the {Premier League|Bundesliga|Champions League|NBA playoffs|NFL playoffs}
who got relegated
standings in {Serie A|La Liga|Formula One|the Six Nations|MLS}
top scorer in {Serie A|La Liga|the Bundesliga|the Champions League}
odds on {club} winning the {league|cup}
transfer rumours {club}
how many Olympic medals does {country} have
who is the {world number one|world champion} in {tennis|chess|golf|darts|snooker|heavyweight boxing|surfing}
how many grand slams does {athlete} have
FIFA ranking of {country}
who's next in line for the throne of {the UK|Norway|Japan|Spain}
which states have {legalised marijuana|the death penalty|no income tax|universal mail voting}
which countries {recognise Palestine|have nuclear weapons|are in the Schengen area|ban TikTok|have a monarchy|drive electric the most}
is {country} a member of {NATO|the EU|BRICS|OPEC|the euro zone}
does {country} have {conscription|capital punishment|a carbon tax|universal health care|nuclear power plants}
what's {country}'s credit rating
how much debt does {country} have
who would win if {country} voted on Sunday
what's the approval rating of the {office} of {country}
when does {country} hold elections
how many seats does {the AfD|Labour|the CDU|Vox|the Green Party} have
which laws change on {January 1st|the first of July}
what is the maximum {contribution to a Roth IRA|ISA allowance|401k limit|housing benefit}
how much is the {state pension|student loan interest|inheritance tax threshold|TV licence}
which vaccines do I need for {country}
how bad is the {flu season|drought|wildfire smoke|air} {in {country}|in {city}|}
is the water safe to drink in {city}
does {city} have {Uber|a metro|low emission zones|a Michelin three star restaurant}
how do I get from {city} airport to the centre
which airlines fly {city} to {city}
luggage allowance {Ryanair|Lufthansa|easyJet|Delta}
which terminal does {KLM|Emirates|BA} use at {JFK|Heathrow|Schiphol}
customs limits on {wine|cigarettes|cash} entering {country}
hotel with pool in {city} under 120
is {place} worth it in {February|August}? any closures
who owns the {tallest building in {city}|biggest yacht|Washington Post|Telegraph|New York Yankees}
what's the biggest {company by market value|bank in Europe|port in Asia|solar farm|data centre}
how many satellites does Starlink have up
how many {rhinos|tigers|pandas|blue whales} are left
what's the CO2 level in the atmosphere
how much of the {Amazon|Great Barrier Reef|Arctic sea ice} is left
how far away is Voyager 1
is there a comet visible
has anyone solved {the Riemann hypothesis|cold fusion|room temperature superconductivity}
what's the largest known prime
who proved the most {recent|notable} result on twin primes
most cited paper in machine learning
which LLMs can run in 16 GB
what's the record for {solving a Rubik's cube|the most rain in a day|the longest space stay|the most expensive NFT}
oldest person alive
does {the Pope|King Charles|the Dalai Lama} travel to {country}
is the {strike|ceasefire|trial|merger|ban} still on
why is {service} so slow
why is {asset} falling
why are people boycotting {company}
why was {celebrity} arrested
what's the controversy about {company|celebrity}
what are people saying about the {product}
recommend a {laptop|phone|car|TV|mattress|headset} {under {500|1000}|}, with prices
compare prices for {product}s
where can I stream {Dune|Oppenheimer|The Bear|Paddington|the {event}}
is {The Office|Friends|Seinfeld|Shrek} on Netflix
lineup of the {event}
phone number for {shop}
address of the {German embassy in {city}|nearest emergency dentist|{city} town hall}
menu of {a good ramen place in {city}|the restaurant at {place}}
bus 42 timetable
my parcel {DHL 00340434|UPS 1Z999|tracking RR123456785} where is it
who called me from +44 20 7946 0958
"""

# Settled lookalikes in the same freer wording.
SETTLED_FREE = """
when it's {10 pm|noon|8 in the morning} {here|in {city}} what time is it in {city}, given a {six|nine|three} hour difference
how many hours is {city} ahead of {city}
what's the time difference between {city} and {city}
which time zone is {city} in
{Dijkstra|quicksort|heap sort|A star|merge sort}: {greedy?|stable?|in place?|worst case?}
is {Pride and Prejudice|Moby-Dick|Ulysses|Dune} {a good book|hard to read|worth reading}
is it {polite|rude|normal|bad luck} to {tip in Japan|open an umbrella indoors|start an email with hey}
are there sequels to {The Hobbit|Jaws|Little Women|The Time Machine}
rank {gold, silver and bronze by density|these planets by size: Mars, Venus, Saturn|the following colours by wavelength}
Which {office}s of {country} were assassinated?
what was the average rent in {city} {past}
how did {teachers|miners|sailors|monks} live in {country} in the 18th century
how are taxes collected in a federal state
what is a dividend and how is it paid
why do companies buy back stock
how does a company go public
which {empire|dynasty} ruled {country} before {1800|1500|1900}
who succeeded {Stalin|Nixon|Queen Victoria|Pope Pius XII|Lenin|Thatcher}
who captained England in 1966
who was world chess champion before {Fischer|Kasparov|Karpov}
which teams played the first {Super Bowl|World Cup final}
what's the offside rule
how does relegation work
how do betting odds work
how are Olympic medals made
how does the line of succession work in Norway
what does it mean to be in the Schengen area
why was NATO's article 5 written
what are the arguments about conscription
what is a credit rating
why do states borrow money
how does proportional representation allocate seats
what's an ISA in simple terms
what is the state pension for
what does a vaccine do in the body
why does smoke make the air unhealthy
how is tap water treated
how do airport codes work
why do planes fly so high
what's the history of {the London Underground|passports|customs duties|the Louvre|{shop}}
what style is {the Eiffel Tower|the Alhambra|Sagrada Família|the Chrysler Building} built in
who designed {the Sydney Opera House|the Guggenheim in Bilbao|Brooklyn Bridge|Fallingwater}
why did {rhinos|mammoths|dodos|dinosaurs} {become rare|die out}
why is CO2 a greenhouse gas
what are coral reefs made of
what instruments does Voyager carry
what is a comet made of
what is the Riemann hypothesis, roughly
how do you find large primes in principle
what is a citation index
what is the plot of {Oppenheimer|Paddington|The Office pilot|Shrek|Friends' first episode}
who sang {'Hey Jude'|'Thriller'|'Dancing Queen'|'Imagine'|'Purple Rain'}
in what key is {'Hallelujah'|'Für Elise'|'Yesterday'}
what was {celebrity|athlete} like as a child, according to biographies
what is {celebrity} famous for
which album made {Adele|Madonna|Nirvana|ABBA} famous
what year was {celebrity|athlete} born
where did {company} get its first money from
what was {company}'s first product
what did {company} invent
name three {Greek gods|rivers in {country}|Shakespeare comedies|noble gases|vertebrates|Baroque composers|programming paradigms}
which countries border {Switzerland|Laos|Paraguay|Chad|Hungary}
which is bigger, {Peru or Chile|Texas or France|the Atlantic or the Pacific}
what's the longest river in {Africa|Europe|South America|{country}}
highest mountain in {Japan|Africa|Poland|Spain|Canada}
how deep is the Mariana Trench
how far is it from {city} to {city} as the crow flies
how hot is lava
how fast does sound travel
at what temperature does {lead|iron|gold|sugar} melt
what's the density of {ice|mercury|gold}
how many calories are in {an apple|a slice of bread|an egg|olive oil}
how much protein is in {tofu|chicken breast|lentils}
how long do {eggs|potatoes|beans} take to boil
is {garlic|chocolate|avocado} bad for dogs
what vitamins are in {carrots|oranges|spinach}
what does 'YOLO' stand for
what does the acronym {NASA|SCUBA|HTML|UNESCO} mean
what's the dialling code for {country}
what language is spoken in {city}
what does the flag of {country} look like
what is the national {dish|animal|anthem} of {country}
which god was {Thor|Athena|Anubis|Shiva}
which book begins with 'Call me Ishmael'
how does a {heat pump|diesel engine|vaccine|camera lens|lock|zipper} work
difference between {LED and OLED|diesel and petrol|Wi-Fi 5 and 6|HDD and SSD}
what does 'known vulnerability' mean
what's semantic versioning
what is a changelog good for
how does open source licensing work
what's the MIT license
how do I track a parcel in general
how do tracking numbers work
why do phones have fewer ports than they used to
what makes a good {laptop for students|mattress|camera for beginners}, which features matter
"""

TIMES_UNMARKED, TIMES_MARKED, TIMES_SETTLED, TIMES_FALSE_FRIENDS = 4, 6, 6, 7


def rows() -> Iterator[tuple[str, str, str]]:
    """(label, kind, text), the same every time."""
    rng = random.Random(11)
    for label, kind, block, times in (
        ("ENRICH", "fresh-unmarked", ENRICH_UNMARKED, TIMES_UNMARKED),
        ("ENRICH", "fresh-marked", ENRICH_MARKED, TIMES_MARKED),
        ("ENRICH", "fresh-free", ENRICH_FREE, TIMES_UNMARKED),
        ("MODERATE", "settled", MODERATE_SETTLED, TIMES_SETTLED),
        ("MODERATE", "settled-free", SETTLED_FREE, TIMES_SETTLED),
        ("MODERATE", "false-latest", MODERATE_FALSE_FRIENDS, TIMES_FALSE_FRIENDS),
    ):
        for text in sentences(block, LISTS, rng, times):
            yield label, kind, text
