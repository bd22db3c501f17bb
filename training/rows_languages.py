"""Rows in fourteen languages other than English, the three labels in each, written in the language and not translated word by word.

The same borders as in English: what changes against what is settled, everyday against research level, false friends ("die neueste Datei im Ordner").
"""

import random
from collections.abc import Iterator

from training.grammar import sentences

ROWS = {
    "de": (
        """
Wer ist {Bundeskanzler|der Chef von Siemens|Trainer vom BVB|Bürgermeister von Köln|Finanzminister}?
Wie hoch ist {der Mindestlohn|die Inflation|der Leitzins|der Strompreis|das Kindergeld} {in Österreich|gerade|}?
Was kostet {ein Deutschlandticket|ein Liter Diesel|eine Wärmepumpe mit Förderung|die neue Playstation}?
{Wie wird das Wetter|Regnet es|Wie warm wird es} {morgen|am Wochenende|heute Abend} in {Hamburg|München|Graz}?
Hat {Rewe|die Sparkasse|das Bürgeramt} {heute|am Sonntag|an Fronleichnam} auf?
Wer hat {gestern|am Wochenende} gewonnen, {Bayern oder Leipzig|Alcaraz oder Sinner}?
Fährt {die S3|der ICE 577|die U6} {heute|wieder|planmäßig}?
Gibt es schon {eine neue Version von Nextcloud|Neuigkeiten zum Heizungsgesetz|Termine für die Landtagswahl}?
Ist {Spotify|Vodafone|die Bahn-App} gerade gestört?
Such mir {ein günstiges Hotel in Wien|Rezensionen zum Dyson V15|die Telefonnummer vom Finanzamt Mitte} raus
was gibt's neues {in der Politik|aus der Ukraine|bei OpenAI}
wann spielt {Union|die Eintracht|Deutschland} das nächste Mal
wo ist {der Sturm|die Demo|mein Paket}
ist auf der {A7|A3} Stau
wie viele Einwohner hat {Leipzig|Polen}
und wie steht der {DAX|Euro zum Franken|Goldpreis}
""",
        """
Wer war der erste {Bundeskanzler|Bundespräsident}?
{Magst du|Kannst du} mir {eine Geschichte über einen Drachen erzählen|ein Rätsel stellen|beim Lernen helfen}?
In welchem Jahr {fiel die Mauer|endete der Dreißigjährige Krieg}?
Erklär mir {kurz|einfach|wie einem Kind} {die Photosynthese|den Zinseszins|was ein Mutex ist|wie ein Kühlschrank funktioniert|die Inflation}
Schreib {eine Mail an meinen Vermieter wegen der kaputten Heizung|ein Gedicht über den Herbst|eine Einladung zum Grillen|eine Kündigung fürs Fitnessstudio}
Wie finde ich die {neueste|aktuellste} Datei in einem Ordner mit {bash|Python}?
Wie mache ich {Kartoffelsalat|Spätzle|Gulasch ohne Fleisch}?
{Übersetze|Was heißt} 'Wie wird das Wetter morgen?' {ins Englische|auf Spanisch}
danke {dir|schön|, das hat geholfen}!
Was ist der Unterschied zwischen {seit und seid|Aktien und Anleihen|TCP und UDP|Wetter und Klima}?
Verbessere diesen Satz: 'Wegen dem Regen bin ich nach Hause gegangen.'
Schreib eine {Python|Java|SQL}-{Funktion|Abfrage}, die {Duplikate entfernt|den Mittelwert berechnet}
mir ist langweilig, {erzähl einen Witz|was kann ich machen}
Beweise, dass die Summe zweier gerader Zahlen gerade ist.
Ein Zug fährt 240 km in 3 Stunden. Wie schnell ist er?
Fass den Text in zwei Sätzen zusammen: Der Verein wurde 1920 gegründet und hat heute 300 Mitglieder. Im Sommer gibt es ein Fest am See.
Gib mir heute Abend eine Idee fürs Kochen mit {Zucchini|Reis und Ei}
""",
        """
Beweise {den Satz von Hahn-Banach|dass jede abgeschlossene Untergruppe einer Lie-Gruppe eine Lie-Gruppe ist|das quadratische Reziprozitätsgesetz|den Spektralsatz für kompakte Operatoren} {vollständig|mit allen Hilfssätzen|}.
Entwirf {ein ausfallsicheres Zahlungssystem über drei Regionen|eine mandantenfähige Plattform für 200 Kliniken|einen Echtzeit-Bieterdienst} mit {Kapazitätsplanung und Fehleranalyse|Konsistenzmodell, Kosten und Migrationspfad}.
Implementiere {einen Raft-Cluster|einen Garbage Collector|eine Datenbank-Engine mit MVCC|einen lock-freien Ring-Puffer} {von Grund auf |}in {Rust|C++} {mit Korrektheitsbeweis|mit Tests und Benchmarks|}
Bestimme alle Funktionen f: R -> R mit f(x + f(y)) = f(x) + y und beweise es.
Unsere Latenz steigt nur bei gemischter Last und nur auf zwei von neun Knoten. Finde die zusammenwirkenden Ursachen und schlage Experimente vor.
Vergleiche kritisch die Studienlage zu {Mindestlohn und Beschäftigung|Mikroplastik und Gesundheit} samt Methoden und Identifikationsstrategien.
Leite die {Kerr-Metrik|Black-Scholes-Gleichung mit Sprüngen|zweite Schleifenordnung der Betafunktion} her
""",
    ),
    "es": (
        """
¿Quién es {el presidente de Colombia|la alcaldesa de Barcelona|el entrenador del Atlético|el CEO de Telefónica|el ministro de Hacienda}?
¿Cuánto {cuesta un iPhone|está el dólar|vale la gasolina|es el salario mínimo|está el kilo de aguacate} {hoy|en México|ahora|}?
¿{Va a llover|Hará frío|Qué tiempo hará} {mañana|este fin de semana|esta noche} en {Bogotá|Sevilla|Lima}?
¿{Está abierto|A qué hora abre} {el Prado|Mercadona|el consulado} {hoy|los domingos|}?
¿Cómo quedó {el Barça|Boca|el América} {anoche|ayer|}?
últimas noticias {de Argentina|sobre el paro de transporte|del volcán}
¿Se ha caído {WhatsApp|el Banco Santander|Netflix}?
¿Qué versión de {Ubuntu|Node|PHP} es la más reciente?
busca {vuelos baratos a Cancún|opiniones de la Roomba|un dentista en Valencia}
¿Cuándo {juega la selección|es la próxima luna llena|sale la nueva temporada}?
¿Cuántos habitantes tiene {Madrid|Ecuador}?
¿sigue vivo {Clint Eastwood|el rey emérito}?
""",
        """
¿en qué año {se descubrió América|terminó la guerra civil|murió Franco}?
{ponle|dame} nombre a mi {perro|cafetería|grupo de música}
¿Quién fue {Simón Bolívar|Frida Kahlo|el primer presidente de México}?
Explícame {qué es un agujero negro|la inflación|cómo funciona un motor|el subjuntivo} {de forma sencilla|como a un niño|}
Escribe {un poema sobre el mar|un correo a mi jefe para pedir vacaciones|un cuento corto|una felicitación de cumpleaños}
¿Cómo se {hace el gazpacho|prepara una paella|limpia una sartén}?
¿Cómo obtengo el archivo más reciente de una carpeta en {Python|bash}?
traduce al inglés: {'¿qué tiempo hace hoy?'|'nos vemos mañana'|'¿está abierta la tienda?'}
gracias{, muy útil|!| por todo}
¿Cuál es la diferencia entre {por y para|ser y estar|una lista y una tupla}?
Corrige: 'Ayer yo ir al mercado y compro pan.'
Juan tiene {12|15} manzanas y regala {4|5}, ¿cuántas le quedan?
Resuelve 3x + 5 = 20
Haz una función en {JavaScript|Python} que {ordene una lista|valide un correo}
dame ideas para {cenar hoy|un regalo|una fiesta infantil}
Resume en una frase: El museo abrió en 1950 y guarda dos mil cuadros. Lo visitan sobre todo escolares.
""",
        """
Demuestra {el teorema de la función implícita en espacios de Banach|el último teorema de Fermat para n=3|el teorema de Stone-Weierstrass|que hay infinitos primos de la forma 4k+1} {con todo detalle|paso a paso sin citar resultados|}.
Diseña {un sistema de pagos distribuido|una plataforma de streaming para diez millones de usuarios|un motor de subastas} {tolerante a fallos, con costes y plan de migración|con análisis de consistencia y recuperación ante desastres}.
Implementa {un compilador|un recolector de basura|un motor de base de datos|Raft} desde cero en {Rust|C++|Go}{ con pruebas|}
Halla todas las funciones f de los reales en los reales con f(xy + f(x)) = x f(y) + f(x).
Analiza críticamente la evidencia sobre {la renta básica|la gentrificación|los ultraprocesados}: métodos, sesgos y contradicciones
Deduce las ecuaciones de {un péndulo doble forzado y estudia su caos|la magnetohidrodinámica desde Boltzmann}
""",
    ),
    "fr": (
        """
Qui est {le premier ministre|le PDG de Renault|l'entraîneur de l'OM|le maire de Lyon|la ministre de la Santé} ?
{Combien coûte|Quel est le prix d'} {un passe Navigo|le litre d'essence|un iPhone} {en ce moment|}?
Quel temps {fait-il|fera-t-il demain|ce week-end} à {Nantes|Québec|Bruxelles} ?
{Le Louvre|La poste|Carrefour} {est ouvert aujourd'hui|ferme à quelle heure} ?
Qui a gagné {hier soir|le Tour|Roland-Garros|la finale} ?
y a {des bouchons sur le périph|du retard sur le TGV de Lyon|du monde à la préfecture} ?
Les {trains|métros|contrôleurs aériens} sont-ils en grève ?
quoi de neuf {sur la réforme des retraites|en Belgique|chez Mistral}
Quelle est la dernière version de {Symfony|Debian|Python} ?
{Orange|Free|Instagram} est en panne ?
trouve-moi {un vol pour Montréal|des avis sur le Thermomix|un resto ouvert le lundi à Lille}
Combien d'habitants à {Toulouse|Dakar} ?
quand est {le prochain match du PSG|le ramadan|la rentrée}
taux {du livret A|de chômage en France|de change euro dollar}
""",
        """
en quelle année {est tombée la Bastille|a fini la guerre de Cent Ans} ?
{un nom|des idées de nom} pour mon {chien|café|groupe}
Qui était {Jeanne d'Arc|le premier président de la Ve République|Molière} ?
Explique-moi {la photosynthèse|le big bang|ce qu'est un mutex|l'inflation} {simplement|en deux phrases|}
Écris {un poème sur la pluie|une lettre de motivation|un mail à ma propriétaire|une blague}
Comment {faire une ratatouille|réussir des crêpes|enlever une tache de vin} ?
Comment récupérer le dernier fichier d'un dossier en {Python|bash} ?
Traduis en anglais : {« quel temps fait-il aujourd'hui ? »|« le magasin est fermé »}
merci {beaucoup|c'est parfait|, bonne soirée}
C'est quoi la différence entre {avoir et être|une liste et un tableau|météo et climat} ?
Corrige les fautes : 'Je suis aller au marché et j'ai acheter des pomme.'
Un train roule {à 90 km/h pendant 2 heures|300 km en 4 h}, quelle {distance|vitesse} ?
Écris une fonction {Python|PHP} qui {trie une liste|compte les mots}
j'ai passé une sale journée aujourd'hui...
qu'est-ce que je cuisine ce soir avec {des courgettes|du riz}
Résume : La ferme existe depuis 1890. Elle produit du fromage et accueille des classes au printemps.
""",
        """
Démontre {le théorème de Baire|le théorème des nombres premiers|la dualité de Poincaré|que tout espace métrique complet non vide sans point isolé est non dénombrable} {en détail|rigoureusement|}.
Conçois {une architecture de paiement multi-région|un moteur de recherche pour 5 To par jour|un système de réservation} {avec analyse des pannes et coûts|sans interruption de service, modèle de cohérence compris}.
Implémente {un ramasse-miettes|un moteur SQL|un ordonnanceur sans verrou|un émulateur NES} {à partir de zéro |}en {Rust|C}
Déterminer tous les entiers n tels que n^2 + 1 divise n! + 1.
Nos latences explosent seulement quand deux déploiements coexistent ; démêle les causes et propose un plan d'expériences.
Compare de façon critique les travaux sur {le salaire minimum|la gentrification|l'effet placebo}, méthodes et biais compris
""",
    ),
    "pt": (
        """
Quem é {o presidente de Portugal|o técnico do Flamengo|o CEO da Petrobras|o ministro da Fazenda} ?
Quanto {custa um Kindle|está o dólar|é o salário mínimo|está a gasolina} {hoje|no Brasil|}?
Vai {chover|fazer sol} {amanhã|no fim de semana} em {Lisboa|Recife|Porto}?
Que horas {abre o Continente|fecha o Detran|joga o Benfica} {hoje|}?
quem ganhou o jogo {ontem|do Palmeiras}
notícias {sobre as enchentes|da greve|de hoje em Angola}
{o Pix|o WhatsApp|o Nubank} caiu?
qual a versão mais nova do {Android|Laravel}
acha {passagens baratas pro Rio|avaliações da Air Fryer} pra mim
quantos habitantes tem {Curitiba|Moçambique}
""",
        """
Quem foi {Pedro Álvares Cabral|Machado de Assis|o primeiro imperador do Brasil}?
Me explica {o que é inflação|buraco negro|como funciona um mutex} {de um jeito simples|}
Escreve {um poema sobre saudade|um e-mail pro meu chefe|uma história curta}
Como {faço pão de queijo|se faz bacalhau à Brás|tiro mancha de vinho}?
traduza para o inglês: {'que horas são?'|'a loja está aberta hoje?'}
obrigado{, ajudou muito|!|}
como pegar o arquivo mais recente de uma pasta em {Python|PowerShell}
Qual a diferença entre {mas e mais|lista e tupla|por que e porque}?
Maria tem {10|18} balas e come {3|7}. Quantas sobram?
função em {Java|Python} que {inverte uma string|soma uma lista}
o que faço hoje pra jantar com {frango|ovo e arroz}
Corrija: 'Nós vai na praia amanhã.'
""",
        """
Demonstre {o teorema de Banach-Alaoglu|o teorema de Sylow|a desigualdade de Sobolev} {com todos os detalhes|}.
Projete {um sistema bancário distribuído|um marketplace para cinco milhões de usuários} {tolerante a falhas, com custos e migração|com modelo de consistência e análise de falhas}.
Implemente {um interpretador WebAssembly|uma árvore LSM|um escalonador lock-free} do zero em {Rust|C++}
Encontre todos os primos p, q tais que pq divide 2^p + 2^q e prove.
Analise criticamente a literatura sobre {renda básica|desmatamento e preço da carne}, métodos e identificação
""",
    ),
    "it": (
        """
Chi è {il presidente del Consiglio|l'allenatore della Roma|l'amministratore delegato di Eni|il sindaco di Napoli}?
Quanto {costa un biglietto per gli Uffizi|è lo stipendio minimo|costa la benzina|vale un bitcoin} {oggi|adesso|}?
Che tempo {fa|farà domani|c'è nel weekend} a {Torino|Palermo|Bari}?
{È aperto|A che ora apre} {l'Esselunga|il Colosseo|l'ufficio postale} {oggi|di domenica|}?
chi ha vinto {il derby|ieri|Sanremo}
ci sono scioperi {dei treni|domani|a Milano}?
ultime notizie {sulla manovra|dal Medio Oriente|di calcio}
cerca {un volo per Catania|recensioni della Panda|un idraulico a Bologna}
quanti abitanti ha {Genova|l'Albania}
qual è l'ultima versione di {Debian|iOS}
""",
        """
Chi era {Garibaldi|Dante|il primo re d'Italia}?
Spiegami {la fotosintesi|cos'è un mutuo|i buchi neri|le classi in Python} {in modo semplice|}
Scrivi {una poesia sul mare|una mail al professore|una storia breve|gli auguri per mia nonna}
Come {si fa la carbonara|si prepara il tiramisù|tolgo il calcare}?
traduci in inglese: {'che tempo fa oggi?'|'ci vediamo domani'}
grazie {mille|, utilissimo|!}
come trovo l'ultimo file modificato con {bash|Python}
Qual è la differenza tra {passato prossimo e imperfetto|TCP e UDP}?
Luca ha {20|14} euro e ne spende {6|9}, quanti ne restano?
scrivi una funzione {Java|Python} che {inverte una stringa|trova il massimo}
cosa cucino stasera con {le melanzane|i ceci}
Correggi: 'Se io avrei tempo, venivo.'
""",
        """
Dimostra {il teorema di Hahn-Banach|il teorema di Riemann-Roch|la disuguaglianza isoperimetrica} {in ogni dettaglio|}.
Progetta {un sistema di pagamenti globale|una piattaforma sanitaria per 40 ospedali} {con analisi dei guasti|, modello di consistenza e piano di migrazione}.
Implementa {un compilatore|un motore di database|Raft} da zero in {Rust|C++}
Trova tutte le terne di interi positivi con a^2 + b^2 + c^2 = 3abc e dimostralo.
Analizza criticamente gli studi su {salario minimo|inquinamento e natalità}: metodi, distorsioni, contraddizioni
""",
    ),
    "nl": (
        """
Wie is {de premier|de trainer van Ajax|de burgemeester van Utrecht|de CEO van Philips}?
Wat kost {een liter benzine|een ov-dagkaart|de nieuwe iPhone} {nu|}?
{Wordt het morgen droog|Hoe warm wordt het zaterdag|Gaat het regenen} in {Groningen|Gent}?
Is {de Albert Heijn|het gemeentehuis|IKEA} {vandaag|op zondag} open?
wie heeft er {gisteren|} gewonnen, {PSV of Feyenoord|Verstappen of Norris}
rijden er {treinen|trams} {vandaag|naar Schiphol}
laatste nieuws over {het kabinet|de storm|ASML}
zoek {een goedkoop hotel in Maastricht|reviews van de Miele}
hoeveel inwoners heeft {Almere|België}
""",
        """
Wie was {Willem van Oranje|de eerste premier van België}?
Leg {uit wat inflatie is|fotosynthese uit|uit hoe git werkt} {in simpele woorden|}
Schrijf {een gedicht over regen|een mail aan mijn huisbaas|een sinterklaasrijm}
Hoe maak ik {stamppot|pannenkoeken|erwtensoep}?
vertaal naar Engels: {'hoe laat is het?'|'de winkel is vandaag dicht'}
bedankt{!|, top|}
hoe vind ik het nieuwste bestand in een map met {bash|Python}
Jan heeft {12|30} knikkers en verliest er {5|11}. Hoeveel heeft hij er nog?
wat is het verschil tussen {dan en als|een lijst en een tuple}
schrijf een {python|javascript}-functie die {een lijst sorteert|woorden telt}
""",
        """
Bewijs {de stelling van Hahn-Banach|de stelling van Kuratowski} {volledig|met alle lemma's}.
Ontwerp {een betaalplatform over drie regio's|een energiemarkt-backend} {met faalanalyse en capaciteitsplanning|}.
Implementeer {een LSM-tree|een garbage collector} vanaf nul in {Rust|Zig} {met bewijs van correctheid|}
Bepaal alle gehele n waarvoor n^4 + 4^n priem is, met bewijs.
""",
    ),
    "pl": (
        """
Kto jest {premierem|trenerem Legii|prezesem Orlenu|prezydentem Gdańska}?
Ile kosztuje {litr benzyny|bilet do Krakowa|nowy iPhone} {teraz|dzisiaj|}?
Jaka {będzie jutro pogoda|jest temperatura} w {Poznaniu|Łodzi}?
Czy {Biedronka|urząd|Wawel} jest {dziś|w niedzielę} {otwarta|czynny}?
kto wygrał {wczoraj|mecz Lecha|Wimbledon}
najnowsze wiadomości {z Ukrainy|o powodzi}
kurs {euro|dolara|franka}
ile osób mieszka w {Warszawie|Czechach}
znajdź {tani lot do Rzymu|opinie o Dysonie}
""",
        """
Kim był {Kopernik|Mickiewicz|pierwszy król Polski}?
Wyjaśnij {prosto|krótko} {fotosyntezę|czym jest inflacja|rekurencję}
Napisz {wiersz o jesieni|maila do szefa|życzenia urodzinowe|bajkę}
Jak zrobić {pierogi|bigos|naleśniki}?
przetłumacz na angielski: {'jaka jest dziś pogoda?'|'sklep jest zamknięty'}
dzięki{!|, super|}
jak znaleźć najnowszy plik w katalogu w {bashu|Pythonie}
Ala ma {12|15} jabłek i oddaje {5|7}. Ile zostało?
napisz funkcję w {Pythonie|C++}, która {sortuje listę|odwraca napis}
popraw błędy: 'Poszłem do sklepu i kupiłem chleba.'
""",
        """
Udowodnij {twierdzenie Banacha o punkcie stałym w przestrzeniach jednostajnych|twierdzenie Kuratowskiego|lemat Zorna} {ze wszystkimi szczegółami|}.
Zaprojektuj {system płatności w trzech regionach|platformę dla 200 szpitali} {z analizą awarii i kosztów|}.
Zaimplementuj {silnik bazy danych|kompilator|Raft} od zera w {Rust|C++}
Wyznacz wszystkie pary liczb pierwszych p, q takie, że p^q + q^p jest pierwsza.
""",
    ),
    "tr": (
        """
{Türkiye'nin cumhurbaşkanı|Fenerbahçe'nin teknik direktörü|Merkez Bankası başkanı|İzmir belediye başkanı} kim?
{Dolar|Gram altın|Benzin|Asgari ücret} {kaç lira|ne kadar} {bugün|şu an|}?
{Yarın|Bu hafta sonu} {İstanbul'da|Antalya'da} hava nasıl olacak?
{Migros|Nüfus müdürlüğü|Topkapı Sarayı} {bugün|pazar günü} açık mı?
dünkü maçı kim kazandı
{E-5'te|köprüde|havaalanı yolunda} trafik var mı
{kar|fırtına} nerede
son dakika {deprem|ekonomi} haberleri
{Instagram|e-Devlet} çöktü mü?
{İzmir'in|Almanya'nın} nüfusu kaç
Ankara'ya en ucuz uçak bileti
""",
        """
{köpeğime|dükkanıma} isim bul
{Atatürk|Fatih Sultan Mehmet|Mimar Sinan} kimdir?
{Enflasyon|Fotosentez|Kara delik|Özyineleme} nedir, {basitçe|kısaca} açıkla
{Sonbahar|deniz} hakkında bir şiir yaz
patronuma {izin|özür} e-postası yaz
{Menemen|Mercimek çorbası|Baklava} nasıl yapılır?
İngilizceye çevir: {'bugün hava nasıl?'|'yarın görüşürüz'}
teşekkürler{!| çok yardımcı oldun|}
Python'da bir klasördeki en yeni dosyayı nasıl bulurum
Ali'nin {12|20} elması var, {4|7} tanesini verdi. Kaç kaldı?
{listeyi sıralayan|asal sayı bulan} bir {Python|Java} fonksiyonu yaz
""",
        """
{Hahn-Banach teoremini|Bolzano-Weierstrass'ın topolojik genellemesini|Sylow teoremlerini} bütün ayrıntılarıyla ispatla.
Üç bölgeli, hataya dayanıklı bir {ödeme sistemi|borsa eşleştirme motoru} tasarla; {kapasite ve arıza analizi|tutarlılık modeli} ekle.
{Rust|C++} ile sıfırdan {bir derleyici|bir veritabanı motoru|çöp toplayıcı} yaz
f(x+f(y)) = f(x) + y koşulunu sağlayan tüm fonksiyonları bul ve kanıtla.
""",
    ),
    "ru": (
        """
Кто {сейчас |}{премьер-министр Великобритании|президент Казахстана|тренер Зенита|глава Сбербанка|мэр Москвы}?
{Сколько стоит|Какая цена на} {биткоин|айфон|бензин|нефть} {сегодня|сейчас|}?
Какая {завтра|сегодня|} погода в {Казани|Питере|Алматы}?
{Работает ли|До скольки открыт} {Ашан|паспортный стол|Эрмитаж} {сегодня|в воскресенье|}?
кто выиграл {вчера|матч Спартака|Уимблдон}
последние новости {экономики|о санкциях|науки}
курс {доллара|евро|юаня}
{Телеграм|Стим|ВК} не работает у всех?
какая последняя версия {Ubuntu|Python|PostgreSQL}
население {Новосибирска|Индии}
найди в интернете {отзывы о пылесосе|дешёвые билеты в Сочи}
где {сейчас ураган|моя посылка}
{метро|электрички} {ходят|стоят}?
когда {следующий матч сборной|выйдет новая часть GTA}
""",
        """
{почему|отчего} {трава зелёная|море солёное|кошки мурчат}
Выберите правильный ответ: столица Австралии а) Сидней б) Канберра
перефразируй {и сократи |}абзац: Вода занимает большую часть планеты и участвует во всех процессах.
поздравление с {днём рождения|юбилеем} для {тёти|коллеги}
Кто такой {Пушкин|Менделеев|Юрий Гагарин}?
Объясни {простыми словами|кратко} {фотосинтез|что такое инфляция|рекурсию|чёрные дыры}
Напиши {стихотворение о зиме|письмо начальнику|сказку про кота|поздравление маме}
Как {приготовить борщ|сварить рис|вывести пятно}?
Переведи на английский: {'какая сегодня погода?'|'магазин закрыт'}
спасибо{!|, помогло|}
как найти самый новый файл в папке на {bash|Python}
У Маши {12|18} конфет, она отдала {5|7}. Сколько осталось?
напиши функцию на {Python|C++}, которая {сортирует список|переворачивает строку}
чем отличается {TCP от UDP|погода от климата|процесс от потока}
исправь ошибки: 'Я вчера ходил в магазин и купил хлеба и малако.'
придумай {название для кофейни|тост|пять идей подарка}
мне грустно сегодня
""",
        """
Докажи {теорему Хана-Банаха|квадратичный закон взаимности|теорему Стоуна-Вейерштрасса|лемму Семереди} {со всеми деталями|строго|}.
Спроектируй {отказоустойчивую платёжную систему|биржевой движок|поисковый кластер на 5 ТБ логов в день} {с анализом отказов и стоимости|с моделью согласованности}.
Реализуй {сборщик мусора|СУБД с MVCC|компилятор|lock-free очередь} с нуля на {Rust|C++}
Пусть n ≥ {3|4|5}. Докажите, что в любом {графе с n^2 рёбрами|множестве из 2n чисел|выпуклом многоугольнике} {найдётся треугольник|есть два непересекающихся подмножества равной суммы}
Найдите все функции f: R -> R такие, что f(x^2 + f(y)) = y + f(x)^2.
Проведи критический обзор исследований о {минимальной зарплате|микропластике}: методы, смещения, противоречия
Выведи {уравнения Навье-Стокса из уравнения Больцмана|метрику Керра|двухпетлевую бета-функцию}
""",
    ),
    "ar": (
        """
من هو {رئيس وزراء العراق|رئيس فرنسا|مدرب الأهلي|وزير المالية} {الآن|الحالي|}؟
كم {سعر الذهب|سعر الدولار|سعر البنزين|يبلغ الحد الأدنى للأجور} {اليوم|}؟
كيف {الطقس|حالة الجو} {غدا|اليوم} في {القاهرة|دبي|الرباط}؟
هل {البنك|المتحف|السوق} مفتوح {اليوم|يوم الجمعة}؟
من فاز {أمس|في المباراة|بكأس آسيا}؟
آخر الأخبار {عن غزة|في لبنان|الاقتصادية}
هل واتساب معطل؟
ما هو أحدث إصدار من {أندرويد|بايثون}؟
كم عدد سكان {المغرب|الرياض}؟
ابحث عن {رحلات رخيصة إلى إسطنبول|تقييمات آيفون}
""",
        """
من هو {ابن سينا|صلاح الدين|نجيب محفوظ}؟
اشرح لي {التضخم|الثقوب السوداء|البرمجة الكائنية} {ببساطة|}
اكتب {قصيدة عن البحر|رسالة إلى مديري|قصة قصيرة}
كيف {أطبخ الكبسة|أحضر الحمص}؟
ترجم إلى الإنجليزية: {كيف الطقس اليوم؟|أراك غدا}
شكرا {جزيلا|لك}
اكتب دالة بايثون {ترتب قائمة|تعكس نصا}
مع أحمد {12|20} تفاحة وأعطى {5|8}، كم بقي؟
ما الفرق بين {الطقس والمناخ|القائمة والصف}؟
كيف أجد أحدث ملف في مجلد باستخدام بايثون
""",
        """
برهن {مبرهنة هان-باناخ|قانون التعاكس التربيعي|مبرهنة عدم الاكتمال} {بالتفصيل الكامل|}
صمم {نظام مدفوعات موزعا عبر ثلاث مناطق|منصة لمئتي مستشفى} {مع تحليل الأعطال والتكلفة|}
اكتب {مترجما|محرك قاعدة بيانات} من الصفر بلغة {Rust|C++}
أوجد جميع الدوال التي تحقق f(x+f(y)) = f(x) + y مع البرهان
""",
    ),
    "hi": (
        """
{भारत के वित्त मंत्री|दिल्ली के मुख्यमंत्री|मुंबई इंडियंस का कप्तान|RBI के गवर्नर} कौन है{ं|}?
{सोने का भाव|पेट्रोल का दाम|डॉलर का रेट} {आज|} क्या है?
{कल|आज} {दिल्ली|पुणे} में मौसम कैसा रहेगा?
क्या {बैंक|डाकघर} {आज|रविवार को} खुला है?
{कल का|} मैच किसने जीता?
ताज़ा खबर {चुनाव|बजट} की
{भारत|जयपुर} की जनसंख्या कितनी है
{डॉलर|यूरो|सोना} आज कितने का है
{ट्रेन|फ्लाइट} लेट है क्या
aaj ka {gold rate|mausam|score} kya hai
{UPI|WhatsApp} down hai kya
""",
        """
{महात्मा गांधी|अकबर|आर्यभट्ट} कौन थे?
{प्रकाश संश्लेषण|मुद्रास्फीति|ब्लैक होल} को सरल शब्दों में समझाओ
{बारिश|माँ} पर एक कविता लिखो
{खिचड़ी|पनीर|चाय} कैसे बनाते हैं?
अंग्रेज़ी में अनुवाद करो: {आज मौसम कैसा है?|दुकान बंद है}
धन्यवाद{!|, बहुत मदद मिली|}
छुट्टी के लिए आवेदन पत्र लिखो
राम के पास {12|20} सेब हैं, उसने {5|8} दे दिए। कितने बचे?
python mein list ko sort kaise karte hain
mujhe ek joke sunao
""",
        """
{हान-बानाख प्रमेय|सिलो प्रमेय} को पूरे विवरण के साथ सिद्ध करो
तीन क्षेत्रों में चलने वाली दोष-सहिष्णु भुगतान प्रणाली डिज़ाइन करो, विफलता विश्लेषण सहित
{Rust|C++} में शुरू से {डेटाबेस इंजन|कंपाइलर} लिखो
सभी फलन ज्ञात करो जिनके लिए f(x+f(y)) = f(x)+y, और सिद्ध करो
""",
    ),
    "zh": (
        """
{现任法国总统|英国首相|阿里巴巴的CEO|国足主教练|北京市市长}是谁？
{黄金|比特币|汽油|茅台股票|iPhone}{现在|今天|}{多少钱|什么价格}？
{北京|上海|台北}{明天|今天|周末}{天气怎么样|会下雨吗}？
{故宫|银行|宜家}{今天|周日}{开门吗|几点关门}？
{昨晚的|}比赛谁赢了？
{今天有什么|最近有什么}{新闻|科技新闻|AI进展}？
{美元|欧元|日元}兑人民币汇率
{微信|GitHub|Steam}是不是挂了
{Python|Ubuntu|PyTorch}最新版本是多少
{深圳|日本}有多少人口
{去上海|去广州}的{高铁|机票}还有{吗|票吗}
{台风|地铁}{到哪了|停运了吗}
帮我查一下{去成都的机票|这款耳机的评价|附近的药店}
下一届{世界杯|奥运会}在哪里{举行|}
""",
        """
给我的{狗|小店|乐队}起个名字
{李白|孔子|秦始皇|牛顿}是谁？
{简单解释|用通俗的话讲讲}{光合作用|通货膨胀|什么是死锁|黑洞}
写{一首关于秋天的诗|一封给老板的请假邮件|一个短故事|一段自我介绍}
{红烧肉|麻婆豆腐|饺子}怎么做？
翻译成英文：{今天天气怎么样？|商店几点关门？|明天见}
谢谢{你|，很有帮助|！}
怎么用{Python|bash}找到文件夹里最新的文件
用{Python|Java|C++}写一个{排序|反转字符串|判断素数}的函数
小明有{12|20}个苹果，给了小红{5|8}个，还剩几个？
{TCP和UDP|进程和线程|天气和气候}有什么区别
把这句话改得正式一点：这东西今天必须搞定
解方程 2x + 3 = 11
推荐{几本小说|一部老电影|送妈妈的礼物}
""",
        """
{证明|请严格证明}{哈恩-巴拿赫定理|二次互反律|斯通-魏尔斯特拉斯定理|素数定理}{，写出所有引理|}
设计{一个跨三地的支付系统|一个千万用户的直播平台|一个撮合引擎}，{要求容错、容量规划和故障分析|给出一致性模型和迁移方案}
用{Rust|C++|Go}从零实现{一个数据库引擎|垃圾回收器|Raft|编译器}
求所有函数 f: R→R 满足 f(x+f(y)) = f(x)+y，并证明
设正整数 n≥3，证明存在无穷多个素数 p 使得 n 是模 p 的二次剩余
批判性综述{最低工资与就业|肠道菌群与抑郁}的研究，比较识别策略和偏差
推导{克尔度规|带跳跃的布莱克-斯科尔斯方程}
""",
    ),
    "ja": (
        """
{日本の総理大臣|アメリカの大統領|トヨタの社長|巨人の監督}は{今|}誰ですか？
{ドル円|ビットコイン|ガソリン|金}の{今の|}{値段|レート|価格}は？
{明日|週末|今日}の{東京|札幌|大阪}の天気は？
{郵便局|美術館|イオン}は{今日|日曜日}{開いてる|何時まで}？
{昨日の|}試合{どっちが勝った|の結果は}？
{最新|今日}の{ニュース|株価}を教えて
{LINE|PS5|X}{落ちてる|障害}？
{iOS|Python}の最新バージョンは？
{福岡|韓国}の人口は
{電車|新幹線}{遅れてる|動いてる}？
{地震|大雪}の状況は
{安い航空券|近くの歯医者|この掃除機の口コミ}を調べて
""",
        """
{犬|お店}の名前を{考えて|提案して}
{織田信長|夏目漱石|アインシュタイン}は誰ですか？
{光合成|インフレ|再帰|ブラックホール}を{簡単に|わかりやすく}説明して
{秋の俳句|上司へのお詫びメール|短い物語|自己紹介}を書いて
{カレー|味噌汁|餃子}の作り方
英語に訳して：{今日の天気は？|店は何時に閉まりますか}
ありがとう{ございます|！助かりました|}
フォルダの最新ファイルを{Python|bash}で取得するには
{リストを並べ替える|文字列を反転する}{Python|Java}の関数を書いて
りんごが{12|20}個あり{5|8}個食べました。残りは？
{「は」と「が」|プロセスとスレッド}の違いは？
暇だから冗談言って
""",
        """
{ハーン・バナッハの定理|平方剰余の相互法則|素数定理}を{詳しく|厳密に|}証明してください。
{三地域にまたがる決済基盤|取引所のマッチングエンジン}を設計し、{障害解析と容量計画|一貫性モデル}も示してください。
{Rust|C++}で{データベースエンジン|コンパイラ|Raft}をゼロから実装して
f(x+f(y)) = f(x)+y を満たす関数をすべて求め、証明せよ。
""",
    ),
    "ko": (
        """
{한국 대통령|삼성전자 대표이사|토트넘 감독|서울 시장}은 {지금 |}누구야?
{비트코인|금|휘발유|아이폰} {지금 |오늘 |}{가격|시세} 얼마야
{내일|주말|오늘} {서울|부산|제주} 날씨 어때?
{은행|이마트|박물관} {오늘|일요일에} 열어?
{어제 |}경기 누가 이겼어?
{오늘|최신} {뉴스|주가} 알려줘
{카카오톡|넷플릭스} 지금 안 되나요?
{파이썬|우분투} 최신 버전이 뭐야
{KTX|지하철} {지연됐어|운행해}?
{태풍|눈} 지금 어디까지 왔어
{부산|일본} 인구가 몇 명이야
{제주도 항공권|이 청소기 후기} 찾아줘
""",
        """
{강아지|가게} 이름 {지어줘|추천 좀}
{세종대왕|이순신|뉴턴}은 누구인가요?
{광합성|인플레이션|재귀 함수|블랙홀}을 쉽게 설명해줘
{가을에 대한 시|사과 이메일|짧은 이야기|자기소개} 써줘
{김치찌개|떡볶이|된장국} 어떻게 만들어?
영어로 번역해줘: {오늘 날씨 어때?|내일 봐요}
고마워{!| 도움 됐어|}
{파이썬|bash}으로 폴더에서 최신 파일 찾는 법
{리스트 정렬|문자열 뒤집기} {파이썬|자바} 함수 작성해줘
사과 {12|20}개 중 {5|8}개를 먹으면 몇 개 남아?
심심해 농담 하나 해줘
""",
        """
{한-바나흐 정리|이차 상호 법칙|실로우 정리}를 {자세히|엄밀하게|} 증명해줘
{세 지역에 걸친 결제 시스템|거래소 매칭 엔진}을 설계하고 {장애 분석과 용량 계획|일관성 모델}까지 제시해줘
{Rust|C++}로 {데이터베이스 엔진|컴파일러|가비지 컬렉터}를 처음부터 구현해줘
f(x+f(y)) = f(x)+y를 만족하는 모든 함수를 구하고 증명하라
""",
    ),
}
TIMES = 5


def rows() -> Iterator[tuple[str, str, str]]:
    """(label, kind, text), the same every time; kind names the language."""
    rng = random.Random(14)
    for language, blocks in ROWS.items():
        for label, block in zip(("ENRICH", "MODERATE", "COMPLEX"), blocks, strict=True):
            for text in sentences(block, {}, rng, TIMES):
                yield label, f"language-{language}", text
