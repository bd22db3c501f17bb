"""Rows across the border between what a local 30B model does well (MODERATE) and what needs a frontier model (COMPLEX).

Contrast sets: the same subjects at textbook and at research level, everyday code with frightening words against truly hard code, and length on both sides.
Labels follow from the block a line stands in.
"""

import random
from collections.abc import Iterator

from training.grammar import lines, sentences

LISTS = {
    name: lines(block.replace(";", "\n"))
    for name, block in {
        "deep": """the Hahn-Banach theorem; the spectral theorem for unbounded self-adjoint operators; the Atiyah-Singer index theorem in the case of a surface; Zorn's lemma from the axiom of choice;
        the Riemann-Roch theorem for curves; the prime number theorem; Dirichlet's theorem on primes in arithmetic progressions; the Hilbert Nullstellensatz; the uniformization theorem;
        the Banach-Tarski paradox; quadratic reciprocity; the Lax-Milgram theorem; Gödel's second incompleteness theorem; Szemerédi's regularity lemma; the Sobolev embedding theorem;
        the Stone-von Neumann theorem; the ergodic theorem; the Nash embedding theorem; Poincaré duality; Lévy's continuity theorem; the Kolmogorov extension theorem; Hensel's lemma in full generality;
        the central limit theorem for martingales; Donsker's theorem; the Feynman-Kac formula; Noether normalization; the Krein-Milman theorem; the Cook-Levin theorem; the PCP theorem's easy direction;
        Kuratowski's theorem; the strong perfect graph theorem for chordal graphs; Ramsey's theorem for hypergraphs; the Mordell-Weil theorem; Minkowski's bound; the isoperimetric inequality""",
        "system": """a multi-region order book; an exactly-once billing pipeline; a globally replicated key-value store; a feature store for a bank; a video conferencing backend for 10 million users;
        a collaborative text editor with offline support; a fraud detection platform; a ride-hailing dispatch system; an ad auction with a 10 ms budget; a hospital records system across 40 sites;
        an IoT fleet of two million meters; a log search cluster ingesting 5 TB per day; a feed ranking service; a CI system for a monorepo of 4,000 engineers; a payments switch; a seat reservation system
        for stadium sales; a satellite telemetry pipeline; a multi-tenant vector search; a game server mesh for 100k concurrent players; a stock exchange matching engine; a zero-trust network for a hospital""",
        "engine": """a B-tree storage engine; a Raft implementation; a garbage collector; a software rasterizer; a regex engine; a TCP stack; a SQL query planner; a JIT compiler; a bytecode VM; a physics engine;
        a file system; a hypervisor; a type checker with inference; a Game Boy emulator; a chess engine with alpha-beta and NNUE; an LSM tree; a neural network framework with autograd;
        a path tracer; a container runtime; a lock-free skip list; a work-stealing scheduler; a DNS resolver with DNSSEC; a WebAssembly interpreter; a constraint solver; a distributed lock service;
        a debugger for ELF binaries; a C compiler; an MVCC transaction layer; a Kafka-like broker; a TLS 1.3 handshake; a columnar query engine; a spreadsheet engine with dependency tracking""",
        "lang": "Rust; C++20; C; Go; Zig; Haskell; OCaml; Java; Python; TypeScript; C#; Kotlin; Swift; Scala",
        "easylang": "Python; JavaScript; Java; C; C++; Go; Rust; PHP; Ruby; bash; TypeScript; C#; Kotlin; R; SQL; PowerShell; Lua; Perl; Swift",
        "smalltask": """reverses a linked list; counts vowels in a string; checks whether a number is prime; merges two sorted lists; removes duplicates from an array; computes the factorial recursively;
        validates an email address; converts Celsius to Fahrenheit; finds the second largest number; reads a CSV and prints the mean of a column; flattens a nested list; renames all files in a folder;
        checks balanced parentheses; generates a random password; prints the Fibonacci sequence; capitalises every word; sorts a dictionary by value; computes the gcd of two integers; finds anagrams;
        rotates a matrix by 90 degrees; parses command line flags; retries a request three times; pings a host; zips a directory; resizes images; sends an email with an attachment; rolls two dice;
        groups rows by month; finds the longest common prefix; transposes a table; implements a stack with push and pop; converts roman numerals; counts words in a file; hashes a password with bcrypt""",
        "jargon": """deadlock; race condition; mutex; eigenvalue; monad; quantum entanglement; kernel; B-tree; Byzantine fault; backpropagation; gradient descent; memory leak; semaphore; CAP theorem; garbage collection;
        Fourier transform; Markov chain; Bayes' theorem; manifold; tensor; NP-completeness; consensus algorithm; two-phase commit; cache coherence; hash collision; linear regression; vector clock; paging;
        a Hilbert space; a p-value; the halting problem; zero-knowledge proof; homomorphic encryption; elliptic curve; Turing machine; recursion; polymorphism; entropy; the chain rule; a heap; epoll""",
        "audience": "a beginner; a ten-year-old; my grandmother; a high school student; someone who knows only Python; a product manager; a first-year student; my team in two sentences",
        "n": "3; 4; 5; 6; 7; 9; 10; 12",
        "sciences": """the role of tau phosphorylation in Alzheimer's; minimum wage effects on employment; microplastics and human health; the origins of the First World War; dark energy and the Hubble tension;
        SSRIs against placebo; the resource curse; remote work and productivity; early childhood education programmes; carbon pricing; gut microbiome and depression; the replication crisis in psychology;
        monetary policy at the zero lower bound; CRISPR off-target effects; the fall of the Western Roman Empire; intermittent fasting; social media and teenage anxiety; nuclear against renewables""",
    }.items()
}

COMPLEX_PROOFS = """
{Prove|Give a full proof of|Write out a rigorous proof of|Please prove} {deep}{.|, with every lemma proved.| and point out where each hypothesis is used.| from first principles.| without citing big theorems.}
{I need a|give a} {self-contained|complete|detailed} proof of {deep}{| for a graduate seminar}
show that {deep} fails when one hypothesis is dropped, with an explicit counterexample and proof
Generalize {deep} and prove your generalization
Let p be an odd prime. {Prove|Show} that {the sum of the quadratic residues mod p is divisible by p for p > 3|the class number of Q(sqrt(-p)) is odd when p ≡ 3 mod 4|every element of F_p is a sum of two squares, and count the representations}.
Find all {pairs|triples} of positive integers (a, b{|, c}) such that {ab + 1 divides a^2 + b^2|a^3 + b^3 = c! + 1|2^a + 3^b is a perfect square|a^b - b^a = 1 and prove there are no others}.
Determine all functions f: R -> R {such that|satisfying} {f(x+f(y)) = f(x) + y|f(xy) = f(x)f(y) - f(x+y) + 1|f(x^2 + f(y)) = y + f(x)^2|f(f(x) + y) = 2x + f(f(y) - x)} for all {real|real numbers} x, y.
Let ABC be {a triangle|an acute scalene triangle} with {incenter I|circumcenter O|orthocenter H}. {The incircle touches BC at D|Let M be the midpoint of arc BAC|The reflection of A over BC is A'}. Prove that {ID bisects MX|the circumcircles of BDX and CDX are tangent|the lines concur|HM is perpendicular to EF}.
Let n >= {n} be an integer. {There are n|In a party of n} {people|points on a circle|lamps in a row|towns}. {Determine the smallest k such that|Prove that one can always choose|Find the largest m for which} {any colouring contains a monochromatic cycle|no three are collinear and all distances differ|each pair is joined by a path of even length|after finitely many moves all are off}.
Let a, b, c be positive reals with {abc = 1|a + b + c = 3|ab + bc + ca = 1}. {Prove|Show} that {a/(b^2+c) + b/(c^2+a) + c/(a^2+b) >= 3/2|sum a^3/(a^2+ab+b^2) >= (a+b+c)/3|sqrt(a+bc) + sqrt(b+ca) + sqrt(c+ab) >= 1 + sqrt(ab) + sqrt(bc) + sqrt(ca)}.
A sequence is defined by a_1 = {2|3|1} and a_(n+1) = {a_n^2 - a_n + 1|a_n + gcd(n, a_n)|floor(a_n * sqrt 2)}. {Prove that|Decide whether} {infinitely many terms are composite|it is eventually periodic modulo every m|no two terms share a factor and the reciprocals sum to 1}.
Is {every|each} {finitely presented simple group|continuous bijection of R^n|compact Hausdorff space with a countable network|bounded harmonic function on a nilpotent group} {2-generated|a homeomorphism|metrizable|constant}? Prove or disprove.
show there are infinitely many primes p with {2p+1 composite and p = 3 mod 4|p dividing some n^2+n+41|2 a primitive root, assuming what you need}
prove or disprove: {every graph with chromatic number k has a subdivision of K_k|a random walk on Z^3 is recurrent|weak convergence plus norm convergence implies strong convergence in L^1|P^NP = NP implies the hierarchy collapses}
Derive the {renormalization group equations of phi^4 theory to two loops|Kerr metric|Navier-Stokes limit of the Boltzmann equation|Black-Scholes formula under stochastic volatility|Onsager solution of the 2D Ising model|optimal stopping rule for the secretary problem with recall|asymptotics of the partition function p(n)|variance of the doubly robust estimator|ELBO gap of a normalizing-flow posterior}.
Derive {sharp|tight} {bounds|minimax rates|asymptotics} for {density estimation under Hölder smoothness|stochastic bandits with heavy tails|the mixing time of card shuffling|coupon collecting with unequal probabilities|the largest eigenvalue of a spiked covariance matrix}
compute the {homology of the Klein bottle with Z/2 and Z coefficients and its cup product structure|Galois group of x^5 - 6x + 3 over Q and justify each step|fundamental group of the complement of the trefoil knot|de Rham cohomology of SU(3)}
Is there a closed form for the sum over k of binom(n,k)^3? Prove your claim.
sum over all n of 1/n^5 irrational?
does the Collatz map have a nontrivial cycle shorter than 1000? argue rigorously
Prove e + pi or e*pi is irrational, then that e is transcendental.
how many groups of order {16|24|56|72} up to isomorphism, with proof
evaluate ∫_0^∞ {sin(x^2)/x dx|ln(x)^2/(1+x^2) dx|x^(s-1)/(e^x-1) dx|cos(ax)/(x^4+1) dx} {rigorously|and justify swapping limits|via contour integration in detail}
what's the chromatic number of the plane, and prove the best lower bound you can
Let G be a finite group in which every Sylow subgroup is cyclic. Prove G is solvable.
Let X be a Banach space whose dual is separable. Is X separable? And the converse? Full proofs.
Suppose f is entire and |f(z)| <= A + B|z|^(5/2). Classify f, then extend the statement to several variables.
Show every planar graph is 5-choosable.
Prove there's no polynomial-time algorithm for max independent set within n^0.99 unless P = NP, sketching all reductions.
A rod of length L falls through a slit while sliding on a frictionless rotating wedge; derive the equations of motion, find the stable orbits and discuss the bifurcation.
"""

MODERATE_PROOFS = """
{prove|show|can you prove} that {the square root of 2 is irrational|the sum of two even numbers is even|there are infinitely many primes|the angles of a triangle add up to 180 degrees|n^2 is odd when n is odd|the product of two odd numbers is odd|1 + 2 + ... + n = n(n+1)/2|the derivative of x^2 is 2x|a composition of injective maps is injective}
prove by induction that {1 + 3 + 5 + ... + (2n-1) = n^2|2^n > n|n^3 - n is divisible by 6|the sum of the first n cubes is (n(n+1)/2)^2|4^n - 1 is divisible by 3}
what does {deep} say{|, in plain words}
{state|who proved|when was|what is the intuition behind} {deep}{?| proven?|}
explain {deep} to {audience}
give an example where {deep} is used
what are the hypotheses of {deep}
how do you solve {2x + 5 = 17|x^2 - 5x + 6 = 0|3(x - 2) = 2x + 7|x/4 + 3 = 9|2^x = 32|log x = 3}
{differentiate|find the derivative of|integrate} {3x^2 + 2x|sin(2x)|x e^x|ln(x)/x|cos^2 x|(2x+1)^5|sqrt(x)}
{compute|find|what is} the {determinant|inverse|rank|eigenvalues} of the matrix [[{n}, 1], [2, {n}]]
what's {15% of 240|7 * 8|12 squared|1/3 + 1/4|0.2 * 0.3|1000 / 8|2^10|the square root of 144|5 factorial|20 choose 2}
{n} + {n} * {n} = ?
solve the system x + y = {n}, x - y = {n}
find the {area|perimeter|volume} of a {circle with radius 5|rectangle 4 by 9|cone with height 6 and radius 2|triangle with sides 3, 4, 5}
A train travels {120|180|240} km in {2|3} hours. {What is its average speed?|How long does it need for 400 km?}
{Anna|Liu Wei|Carlos|Fatima} has {n} times as many {marbles|stickers|coins} as {Ben|Mary|Omar}. Together they have {36|48|60}. How many does each have?
A bag has {n} red and {n} blue balls. What is the probability of drawing {two red ones|one of each|a blue one}?
a shirt costs {$25|40 euros|£30} after a {20|25|10}% discount. what was the original price?
simplify {(x^2 - 9)/(x - 3)|2(3x + 4) - 5x|sqrt(50)|(a+b)^2 - (a-b)^2}
what is the limit of {sin(x)/x as x goes to 0|(1 + 1/n)^n|1/x as x goes to infinity}
find the {maximum|vertex|roots|inflection point} of y = {x^2 - 4x + 1|-x^2 + 6x|x^3 - 3x}
solve the differential equation y' = {2y|y + x|3x^2}
what's the mean, median and mode of 4, 8, 8, 10, 15
is {97|91|1001|221|51} prime
how many ways can {5 people sit in a row|you arrange the letters of BANANA|you pick 3 cards from 10}
convert {255 to binary|1011 to decimal|72 km/h to m/s|3.5 feet to cm|5 miles to km|1e6 seconds to days}
use L'Hospital's rule on {(e^x - 1)/x|x ln x} at 0
a ball is thrown upward at {20|15|30} m/s, how high does it get
how much {energy|force|momentum} does a {2 kg|5 kg|70 kg} {object|person} have at {3|10} m/s
balance the equation {H2 + O2 -> H2O|C3H8 + O2 -> CO2 + H2O|Fe + O2 -> Fe2O3}
what is the pH of 0.01 M HCl
calculate compound interest on {1000|5000} at {3|5}% for {5|10} years
explain the {epsilon-delta definition|chain rule|mean value theorem|fundamental theorem of calculus|binomial theorem|Pythagorean theorem} with an example
multiple choice: The integral of 1/x is (A) x (B) ln|x| + C (C) 1/x^2 (D) e^x
True or false: every continuous function is differentiable.
what's a counterexample to 'all bounded sequences converge'
Check my homework: I got 42 for 6*8, right?
how many degrees in a hexagon
quick check, is a zero matrix diagonal?
who invented calculus
is there a formula for the roots of a cubic
what is a proof by contradiction, with a simple example
tell me a joke about mathematicians
why can't you divide by zero
make me 10 practice problems on fractions with solutions
explain eigenvectors {visually|in one paragraph|with a 2x2 example}
"""

COMPLEX_CODE = """
{Implement|Write|Build|Develop} {engine} {from scratch |}in {lang}{|, no dependencies|, with tests and benchmarks|, and explain the invariants|, production quality}{.|}
i want to write {engine} myself in {lang}. give me the full code{ with crash recovery|, concurrency included| and a proof of linearizability|}
code {engine} {in {lang}|} {with SIMD|that survives power loss|with full error handling|and compare its complexity with the state of the art|handling a million operations per second}
Design {system}{.|, with capacity planning.| with failure modes, consistency model and cost.|. Constraints: 99.99% availability, GDPR, two teams of five, no vendor lock-in.| and defend each trade-off}
architect {system}; {budget 40k a month|p99 below 50 ms|data must stay in the EU|zero downtime migration from a PHP monolith}, {compare at least three options|walk me through the failure scenarios|include data model, sharding and disaster recovery}
how would you migrate {system} {from Oracle to Postgres|from on-prem to two clouds|from a monolith to services} without downtime, with rollback at every stage and data verification
{Our|my} {p99 latency|throughput|memory|tail latency} {doubles|collapses|creeps up} {every 40 minutes|only under mixed load|after deploying two unrelated changes|only on NUMA machines|once connections pass 2,000}. {GC logs, perf traces and the thread dump disagree|Disabling either change alone doesn't fix it|Only two of nine nodes show it}. {Find the root cause|Work out what interacts and how to prove it|Give a ranked list of hypotheses with experiments}.
the kernel panics with this oops only with CONFIG_PREEMPT and the RAID card, bisecting lands on a merge: how do I find which interaction is guilty
Find the {data race|memory ordering bug|ABA problem|deadlock} in this lock-free queue: head.load(relaxed); next = head->next; if (head.compare_exchange_weak(...)) ... {and prove the fix correct|and give the minimal fences}
is relaxed ordering enough for the reference count decrement in shared_ptr? argue with the C++ memory model in detail
prove that this {spinlock|seqlock|hazard pointer scheme|RCU list} is correct under the {C11|ARMv8} memory model
write a {Linux kernel module|character device driver|eBPF program|scheduler class} that {throttles per-cgroup I/O with fairness|exposes a ring buffer to user space with zero copy|traces lock contention with bounded overhead}
write a CUDA kernel for {fused attention with causal mask|sparse matrix multiplication in CSR|radix sort} {that reaches 80% of peak on an H100|with shared memory tiling and async copies}, explain occupancy
optimize this matrix multiplication {to within 90% of OpenBLAS|with AVX-512 and blocking}, explain the cache analysis
reverse engineer this obfuscated binary protocol from 30 hex dumps and write a parser and a fuzzer for it
write a {formal|TLA+} spec of {Raft|Paxos|our checkout saga|a cache invalidation protocol} and check the safety properties
refactor this 12,000-line {PHP|Java|COBOL|C++} monolith into modules: give a plan with seams, strangler steps, test strategy and risk ranking
Make a complete multiplayer {tower defence|racing|chess|strategy} game with matchmaking, rollback netcode and anti-cheat
write a full {e-commerce site|trading bot|CRM|learning platform} with auth, payments, admin, tests, CI and deployment{ in one answer|}
create a compiler for a small functional language: lexer, parser, Hindley-Milner inference, closure conversion, codegen to x86-64
Port {llama.cpp's quantized matmul|SQLite's pager|a Vulkan renderer} to {Zig|WebGPU|RISC-V vector}
Our Postgres cluster shows {serialization anomalies|wraparound warnings plus replication lag|lock queues that clear only after failover}: pg_stat dumps below. Diagnose the interacting causes
two services deadlock through a third via retries and a connection pool, here are the traces, prove where the cycle is and redesign it
Design a differential privacy mechanism for {our telemetry|location traces} and prove its epsilon
derive backprop through {an ODE solver|a differentiable sort|a fixed-point layer|an SVD} with memory analysis and implement it in JAX
give me a {cryptographic protocol|threshold signature scheme|zero-knowledge circuit} for {sealed-bid auctions|anonymous voting with receipt-freeness} with a security proof
write a {lock-free MPMC queue|wait-free snapshot|concurrent hash map with resizing|RCU tree}{| in {lang}}
mutex-free LRU cache, linearizable, {lang}
malloc replacement, thread caching, {lang}
make {engine}
do a threat model of {system} with attack trees, mitigations and residual risk
write a paper-quality comparison of {Raft and EPaxos|CRDTs and OT|LSM and B-trees under skewed writes} with proofs of the key claims
"""

MODERATE_CODE = """
{write|create|make|give me|show me} a {easylang} {function|script|program|snippet} that {smalltask}
{how do i|how can I|how to} write a function in {easylang} that {smalltask}
{easylang}: code that {smalltask}{, with comments|, please|}
what does {jargon} mean
{what is|what's|explain|define} {jargon}{| in simple terms| to {audience}| with an example}
explain {jargon} to {audience}
{give me|write} {five|10|three} {quiz|interview|multiple choice} questions about {jargon}
write {a poem|a limerick|a rap|a love letter} about {jargon}
translate '{jargon}' into {German|Spanish|Japanese}
what's the difference between {a mutex and a semaphore|a process and a thread|TCP and UDP|a list and a tuple|GET and POST|git merge and rebase|a class and an object|RAM and cache|concurrency and parallelism|authentication and authorization|a stack and a heap|symmetric and asymmetric encryption}
how do I kill {a zombie process|all child processes|the process on port 8080|an orphaned container} {on Linux|}
how do I {exit vim|undo the last commit|force push safely|resolve a merge conflict|delete a branch|squash commits|stash changes}
fix this error: {TypeError: 'NoneType' object is not subscriptable|IndexError: list index out of range|ModuleNotFoundError: No module named 'requests'|Segmentation fault (core dumped) in my first C program|SyntaxError: unexpected EOF|KeyError: 'name'|NullPointerException at Main.java:14|Uncaught ReferenceError: x is not defined|permission denied while connecting to the docker socket|fatal: refusing to merge unrelated histories|CORS error in the browser console}
what's wrong with this code?\nfor i in range(10)\n    print(i)
why do I get {undefined|NaN|an infinite loop|a 404|a 500|None}?\nconst add = (a, b) => (a + b, undefined)
my docker container {exits immediately|can't reach the internet|has no permission on the volume|is killed with code 137}, what should I check
write a {Dockerfile|docker-compose file|Makefile|GitHub Action|systemd unit|nginx config|crontab line|.gitignore|Ansible task|Terraform snippet|Kubernetes deployment|Caddyfile} for {a Flask app|a Node app|postgres|nightly backups|a static site|redis|a Go service}
write a regex for {phone numbers|ISO dates|IPv4 addresses|hex colours|lines that start with ERROR}
write an SQL query that {returns the top 5 customers by revenue|counts orders per month|finds duplicate emails|joins users and orders|deletes rows older than 30 days}
add {type hints|a docstring|logging|error handling|unit tests} to this function:\ndef f(a, b):\n    return a / b
convert this {loop to a list comprehension|curl command to python requests|SQL to pandas|JSON to YAML|class component to hooks|callback to async/await}
how do I center a div
css for a {sticky header|dark mode toggle|responsive grid|loading spinner}
make a html page with a {contact form|photo gallery|countdown|navigation bar}
write a simple {tic-tac-toe|hangman|snake|number guessing|rock paper scissors} game in {easylang}
simple {todo app|calculator|stopwatch|weather widget} in {React|Vue|plain JavaScript|Tkinter}
how do threads work in {easylang}
example of a mutex in {easylang}
how to start a thread and wait for it in {easylang}
write a thread-safe counter in {easylang}
use asyncio to fetch {three|ten} urls at once
what is the big O of {binary search|bubble sort|a nested loop|hash lookup|merge sort}
explain this code: print([x**2 for x in range(5)])
what will this print?\nx = [1, 2]\ny = x\ny.append(3)\nprint(x)
train a {logistic regression|random forest|small neural network|k-means} with scikit-learn on {iris|a csv|titanic}
how do I plot {a histogram|two lines|a bar chart} with matplotlib
what does chmod 755 mean
explain {git rebase|docker layers|the OSI model|OAuth|JWT|DNS|NAT|load balancing|blue-green deployment|microservices|event sourcing|kubernetes pods}
what are {microservices|design patterns|SOLID principles|ACID properties|race conditions|kernels and shells}
do I need Kubernetes for a {small blog|side project|shop with 20 orders a day}
set up a {wireguard tunnel|reverse proxy|samba share|raid 1|pi-hole|cron backup with restic} {on debian|at home|}
how do I see {disk usage|open ports|running services|memory use|kernel logs} on Linux
is it safe to rm -rf node_modules
what causes a kernel panic, in short
what's a memory leak and how do I spot one in {easylang}
crash course in {easylang} for someone who knows {easylang}
rename variables in this snippet so they're readable: int a=5; int b=6; int c=a*b;
write a unit test for add(2, 3)
which data structure for {a queue|undo history|counting words|a phone book}
name three sorting algorithms
implement {bubble sort|binary search|quick sort|FizzBuzz|a linked list|a queue with two stacks|BFS on a grid|a trie|an LRU cache using OrderedDict|dijkstra with heapq} in {easylang}
what license should I choose for my {library|script}
draft a README for {a weather CLI|my dotfiles|a Discord bot}
write a polite code review comment asking for smaller functions
turn this stack trace into a bug report: ValueError at line 30 in parse.py
"""

# The way people bring real problems: context first, half-sentences, pasted pieces.
COMPLEX_FREE = """
Let $n$ be a positive integer such that ${n^2+3n+7|2^n-1|n^3+n} $ is {a perfect cube|divisible by $n+1$}. Determine all possible values of $n$.
Suppose $P(x)$ is a polynomial with integer coefficients and $P({n}) = {n}$, $P(P({n})) = {n}$. {Find the least possible degree|How many integer roots can $P$ have}?
Triangle $ABC$ has $AB = 13$, $BC = 14$, $CA = {15|11|9}$. Point $D$ lies on $BC$ so that the incircles of $ABD$ and $ACD$ {are tangent|have equal radii}. Compute $AD^2$.
Alice and Bob take turns {removing stones|colouring edges|writing digits}; {who wins if both play perfectly from $n$|for which $n$ does the second player win}? Prove it.
In how many ways can the numbers $1, ..., {n}$ be arranged so that no {two adjacent sum to a prime|three consecutive are increasing}?
I maintain a {trading engine|game server|video encoder|database driver} in {lang}. After moving to io_uring we see lost wakeups under load, maybe one in ten million. Here is the submission loop and the completion handler. What interleaving explains it and what's the minimal correct fix?
we have 300 TB in {HDFS|Oracle|Cassandra} and must move to {Iceberg|Spanner|a lakehouse} within a year, no downtime, auditors want lineage, 40 teams depend on it. Give me the whole migration architecture with phases, risks and cut-over criteria
Can you write a {SQL|GraphQL|regex|LaTeX} {parser and optimizer|to WebAssembly compiler|formatter with error recovery} in {lang}? It has to handle {nested subqueries and CTEs|left recursion|10 MB inputs in linear time}. Please include the full source and property-based tests.
given the following research idea, design the experiments, baselines, ablations and statistics for a NeurIPS paper: {sparse attention learned by bandits|curriculum from loss curvature|retrieval inside diffusion}
My simulation of {a double pendulum on a cart|plasma in a tokamak edge|turbulent channel flow} gains energy slowly. I use {RK4|leapfrog|a spectral method} with adaptive steps. Derive the modified Hamiltonian, explain the drift and construct a structure-preserving integrator
Write a {numerical|finite element|lattice Boltzmann} solver for {the Cahn-Hilliard equation|incompressible Navier-Stokes|Maxwell's equations with dispersive media} with stability analysis, convergence order proof and code
please solve all parts rigorously: (a) show the estimator is consistent, (b) find its influence function, (c) give the semiparametric efficiency bound and (d) compare to the MLE under misspecification
Develop a complete {options|credit|weather derivative} pricing library: {Heston with jumps|rough volatility}, calibration, Greeks by adjoint differentiation, tests against closed forms
I need an algorithm for {vehicle routing with time windows, drivers' breaks and electric range|timetabling 90 schools that share teachers|packing irregular parts with grain direction}; formulate it, prove hardness, give a decomposition and an implementation
reconstruct the {encryption scheme|checksum|file format} from these samples: 3f a1 00 7c ... 9e 11 ... and explain how you excluded alternatives
A spin-1/2 chain with next-nearest coupling: {compute the phase diagram|derive the low-energy field theory|bound the gap}, with every approximation controlled
Consider a monopolist with {interdependent goods|naive and sophisticated buyers|a durable product}; characterize the optimal mechanism and prove it's unique up to a null set
Given n jobs with release dates and deadlines on two machines, {give an exact algorithm and prove its bound|find a 4/3-approximation with proof|show APX-hardness}
Let S be a set of {2n+1|n^2+1|3n} {integers|points in general position|unit vectors}. {Prove that|Show that there exist|Find the best constant c for which} {two disjoint subsets have equal sums|a convex n-gon can be chosen|some pair has inner product at least c/n}.
For which {positive integers n|primes p|real numbers a} {does there exist a permutation with all partial sums distinct mod n|is every residue a sum of three cubes|does the recursion x -> x^2 + a stay dense in an interval}? Justify fully.
Compute, with proof, the number of {domino tilings of a 2n by 2n board|labelled trees with k leaves|Young tableaux of shape (n,n,n)|lattice paths that avoid the diagonal}.
{Evaluate|Find in closed form} {the integral of ln(sin x)^2 over (0, pi)|sum 1/(n^2 binom(2n, n))|product over primes of (1 + 1/p^2)|the determinant of the matrix gcd(i,j)} and justify every exchange of limits.
A particle moves on {a torus|the surface of a cone|an ellipsoid} under gravity; {find all closed orbits and their stability|show integrability|quantize it semiclassically}
The reaction has {three|four} elementary steps with {two|three} intermediates; derive the rate law without the steady state assumption and show when it reduces to Michaelis-Menten
Analyze the {constitutional|antitrust|patent} case from both sides to appellate brief depth: standing, precedent conflicts, remedies; facts: a {platform|pharma firm|state agency} did X to its rivals under an ambiguous statute
Our {A/B test platform|recommender|sepsis model} improved AUC but business metrics fell, only for {returning users|two hospitals|weekends}. Data leakage, interference and Simpson's paradox are all possible. Set up an identification strategy to tell them apart
Write the {scheduler|memory manager|network stack} of a toy OS for {x86-64|RISC-V}: design, all source files, linker script, boot code, tests in QEMU
build an {end-to-end encrypted group messenger|order matching engine|real-time strategy game server} in {lang}: protocol, state machines, replay protection, persistence, load test. full code please
implement {paxos|viewstamped replication|CRDT text editing|snapshot isolation} and {prove safety|model it in TLA+|test it under simulated partitions}
vectorise and parallelise this {Smith-Waterman|Barnes-Hut|marching cubes} kernel for {AVX-512|CUDA|NEON}; target within 2x of the roofline, explain each transformation
what would break if {TCP sequence numbers were 16 bit at 100 Gb/s|Bitcoin's difficulty adjusted every block|DNS had no caching}? quantitative model, worst cases, mitigations
"""

MODERATE_FREE = """
{Terraform|Helm|Ansible|CloudFormation|nginx|docker compose|Kubernetes|Vagrant} {block|snippet|file|example} for {an S3 bucket|a web server and a database|a cron job|two services with a volume|a static site|a secret}{, minimal|}
{java|python|js|go|rust|c#} {ConcurrentModificationException|UnicodeDecodeError|heap out of memory|nil pointer dereference|borrow checker error|StackOverflowError|deadlock on two locks} {in a simple loop|when I read a file|when removing items|in my homework}, {fix?|why?|what does it mean?}
{minimal|tiny|working} example of {a mutex|an async queue|a thread pool|a semaphore|a coroutine|a socket server|fork and exec|shared memory} in {easylang}
{give an intuitive explanation of|what's the point of|who came up with|motivate} {deep}
I'm getting this when I start my {flask|node|spring|django} app: port 5000 already in use. what do i do
I have a list of {dicts|tuples|strings} in {easylang} and want to {sort it by the second field|group it by key|drop the empty ones}. Here's what I have so far, it prints nothing:\nfor x in data: pass
why is my {loop|query|page|script} slow? it reads a {2 MB|10k line} file and does `if x in list` for each line
My teacher asked us to {write a class Dog with a bark method|draw a flow chart for making tea|explain what an algorithm is}. can you help
can you check my {essay introduction|cover letter|email|SQL homework}? {I would like to apply for the job because I am hard worker.|SELECT * FORM users}
I'm {learning|new to} {easylang}. {What should I build first?|Explain variables please.|How do modules work?|Give me three exercises.}
how would I structure a small {flask|express|go} project with {two|three} routes and sqlite
I want a script that {backs up my photos to a NAS|renames mp3s from tags|sends me a mail when disk is full|converts all png to jpg}. {bash or python, I don't mind|Windows}
here's my css, the {button|footer|menu} is not aligned:  .a (display: flex) what's missing
The following code throws an off by one error, please fix:\nfor (int i = 0; i <= arr.length; i++) sum += arr[i];
Convert this to {easylang}:\ndef greet(name):\n    return 'Hello ' + name
Write {a REST API with two endpoints|a login form|a CRUD app for notes|an example of dependency injection|a websocket echo server} in {easylang|Flask|Express|Spring Boot}
explain what this regex does: ^\\d\\d\\d-[a-z]+$
explain this SQL: SELECT dept, COUNT(*) FROM emp GROUP BY dept HAVING COUNT(*) > 5
what's the idiomatic way to {read a file|handle errors|format strings|iterate a map|copy a list} in {easylang}
best practice for {naming branches|storing secrets in a small app|logging in python|commit messages|REST urls}
{postgres|mysql|mongodb|sqlite} vs {postgres|redis|sqlite|mongodb} for a {blog|school project|todo app}
{git|docker|npm|pip|ssh|tmux|vim} cheat sheet
how do I {connect to postgres from python|read env variables|add a column with a default|make a virtualenv|upgrade pip|set up ssh keys|enable https with let's encrypt}
My raspberry pi {doesn't boot|has no sound|can't find the wifi}, what are the usual suspects
which {sorting algorithm|database index|data type} should I use for {a nearly sorted list|a column of emails|money}
a {2 kg|5 kg} block slides down a {30|45} degree frictionless incline, what's its acceleration
a {9 V|12 V} battery and a {3|6} ohm resistor, find the current and power
Calculate the molarity of {10 g NaCl in 500 ml|5 g NaOH in 250 ml}
a gas at {300 K|27 °C} and 2 atm is heated to {450 K|150 °C} at constant volume, new pressure?
what's the probability of at least one six in {3|4} rolls
find the equation of the line through (1,2) and (3,{8|10})
What is the {slope|y-intercept|domain|range} of {y = 3x - 4|f(x) = sqrt(x - 2)|y = 1/x}
expand (x + {2|3})^{2|3}
factor {x^2 + 7x + 12|2x^2 - 8|x^3 - x}
{sketch|describe} the graph of {y = abs(x)|y = sin x|y = e^-x}
what's the intuition behind {eigenvalues|the central limit theorem|maximum likelihood|the Fourier transform|Bayes' rule|entropy}
Explain the steps of {mitosis|the Krebs cycle|a SWOT analysis|TCP's three-way handshake|the scientific method}
Summarise the arguments in the debate on {sciences} for a school newspaper
give me a balanced paragraph on {sciences}
what is meant by {sciences}
list three common views on {sciences}
Design a {logo brief|birthday card|simple database for a library|school timetable|poster|small kitchen layout|beginner gym plan|board game about bees}
analyse the {poem 'The Road Not Taken'|character of Macbeth|theme of friendship in Of Mice and Men|sentence structure: The dog barked}
evaluate {3 * (4 + 5) - 6|2^5 / 4|7 mod 3|f(2) for f(x) = x^2 - 1|log2(64)}
Develop a {slogan|recipe with chickpeas|short training for new waiters|meal plan|bedtime routine}
Compare {cats and dogs|tea and coffee|Java and Python for beginners|the French and American revolutions|renting and buying|mitosis and meiosis}
Discuss the causes of {the French Revolution|World War I|inflation|climate change} in {two|three} paragraphs
implement a {simple|basic|minimal} {calculator|chat server|web scraper|blog|url shortener|tic tac toe AI|markdown to html converter|neural network in numpy for XOR} {in python|in go|in javascript|}
optimise this: result = []\nfor i in range(10): result.append(i*i)
debug: my function returns None because I forgot return? def f(x): x + 1
"""

COMPLEX_ANALYSIS = """
Critically compare {three|the competing} {explanations|schools of thought|bodies of evidence} on {sciences}, weigh {effect sizes and identification strategies|the primary sources|the methods}, and say what evidence would change your conclusion.
write a systematic review of {sciences} with inclusion criteria, risk of bias and a synthesis of conflicting findings
{design|plan} a {preregistered study|randomized trial|natural experiment|longitudinal cohort} to settle {sciences}: power analysis, confounders, estimands, threats to validity
deep dive into {sciences}: mechanisms, contradictions between studies, open problems, a research agenda
give me a literature-level analysis of {sciences}, steelman both sides, quantify uncertainty
Derive the equilibrium of {a two-sided market with congestion|a repeated auction with learning bidders|a signalling game with three types} and do comparative statics
value {a biotech with three pipeline assets|a distressed airline|a toll road concession} with a full DCF, real options and sensitivity, state every assumption
Build a causal model of {sciences}, derive the adjustment sets, and say which effects aren't identified
Draft a {merger agreement risk analysis|cross-border tax structuring memo|GDPR and HIPAA conflict analysis} for {a hospital group in four countries|a fintech with entities in six jurisdictions}, citing where authorities disagree
A patient, {54|67|31}, has {fever, pancytopenia and a rising ferritin|episodic hypertension, hypokalaemia and a 3 cm adrenal mass|progressive weakness, dysphagia and a normal MRI} while on {four interacting drugs|immunosuppression}; work through the differential with probabilities and a staged plan
Our factory's yield fell 4% after three simultaneous changes (supplier, humidity control, firmware). Data attached in the table. Separate the effects and design the experiment to confirm.
Work out a {five-year grid plan|migration strategy|pandemic response plan} for {an island of 300k people|a port city} with budget, politics, uncertainty and staged decisions
Reconcile {general relativity with the unitarity of black hole evaporation|the frequentist and Bayesian readings of the stopping rule|Arrow's theorem with actual voting reforms} and assess the best current proposals in technical depth
Analyse the game-theoretic stability of {OPEC|climate clubs|a three-party coalition} formally, with proofs of the core results
plan the aerodynamic, structural and control design of {a 3 m wingspan solar UAV|a hydrofoil|a reusable sounding rocket} with numbers and margins
design a {400 V battery pack|10 GHz phased array|fusion diagnostic|cryogenic stage} from requirements to tolerances, with failure analysis
develop a novel {optimizer|attention variant|error-correcting code} and analyse convergence or distance theoretically
read these four conflicting witness statements and contracts, establish the timeline, inconsistencies, liability and the strongest argument for each party
find the flaw in this 3-page proof of the twin prime conjecture
"""

# Short and hard: nothing about the length or the tone gives them away.
COMPLEX_SHORT = """
why is {BQP in PP|RP contained in BPP|L^p reflexive|S^6 not known to be complex|Z[x] not a PID but a UFD}? full argument
is {x^4 + 1|x^p - x - 1|the Fermat quintic's Jacobian} {irreducible over Q but reducible mod every p|separable over F_p|simple}? prove it
smallest n with {no group of order n+1 nonabelian|a non-Hamiltonian n-regular 3-connected graph|R(3,n) > 30}
lower bound for {sorting with comparisons up to k errors|matrix multiplication over F_2|online bin packing}
{minimax regret|optimal mechanism|competitive ratio} for {linear bandits with delayed feedback|two items, one buyer|k-server on a line}, derive it
Monge-Ampère regularity, sketch Caffarelli
five colour theorem for the torus analogue, prove the sharp number
wait-free consensus with registers impossible: prove
why does Adam diverge? construct the counterexample
FLP impossibility, complete proof
linear time suffix array, code and proof
x^x = y^y rational solutions, all of them
perfect squares in Fibonacci?
is the sum of two normal operators normal when they commute with each other's adjoint? unbounded case
1D Hubbard model, Bethe ansatz
find the stationary measure of TASEP
integrate sqrt(tan x) over every interval where it converges and analyse the rest
tight analysis of quickselect median of three
random 3-SAT threshold: second moment bound
distributed snapshot under message loss, correct or not?
lock-free deque on ARM?
optimal binary search tree in n^2: prove the monotonicity
count spanning trees of the hypercube, prove
can you tile a 10x10 board with 1x4 pieces? generalise
expected hitting time on the lollipop graph
which primes are x^2+14y^2
{non-measurable set without choice|Borel determinacy|the continuum hypothesis relative consistency}: explain at proof level
"""

# Long and easy: much text, a small wish.
LONG_TEXTS = lines("""
The municipal library was founded in 1904 by a group of teachers who had collected four hundred books in a rented room above a bakery. During the war it was closed twice, and part of the collection was hidden in the cellar of the school. Today it holds ninety thousand volumes, a music room and a small theatre in which children read to dogs on Saturdays.
Distributed consensus, kernel scheduling and lock-free data structures were the three topics of the workshop. Speakers showed theorems on linearizability, a proof of the safety of a new protocol and benchmarks on machines with 128 cores. Lunch was late, the coffee ran out at three, and the badge printer broke down twice.
Dear team, as you know we moved to the new office in March. Some of the chairs have not arrived yet, and the printer on the second floor is still offline. Please put your lunch boxes into the left fridge, since the right one is reserved for the catering firm. Parking cards can be picked up from Irena until Friday. Thank you for your patience.
Photosynthesis takes place in the chloroplasts of plant cells. Light is absorbed by chlorophyll, and its energy is used to split water, releasing oxygen. In the second stage carbon dioxide is fixed into sugars. The rate depends on light, temperature and the concentration of carbon dioxide.
Customer: the parcel came with a broken corner and two mugs were cracked. Agent: I'm sorry to hear that, could you send a photo? Customer: I did, twice. Agent: I can see it now, we'll send two new mugs. Customer: and the refund for express shipping? Agent: it will be on your card in five days.
Once upon a time there was a fisherman who owned a single net. Every morning he mended it while his daughter counted the boats. One day a storm took the net, and the daughter wove a new one out of her own hair and the strings of an old violin. The fish that came to it could sing.
2024-03-01 10:02:11 INFO start worker=3\\n2024-03-01 10:02:12 WARN retry=1 host=db2\\n2024-03-01 10:02:14 ERROR timeout after 2000 ms host=db2\\n2024-03-01 10:02:15 INFO reconnected host=db2\\n2024-03-01 10:02:19 INFO done rows=1882
The committee heard evidence from fourteen witnesses on the proposed by-pass. Farmers feared for the water meadows, shop owners for their trade, and the school asked for a crossing. The engineers explained that the embankment would be four metres high. A decision was put off until the autumn meeting.
import os\\nimport csv\\n\\ndef load(path):\\n    rows = []\\n    with open(path) as f:\\n        for row in csv.DictReader(f):\\n            rows.append(row)\\n    return rows\\n\\ndef total(rows):\\n    return sum(float(r['price']) * int(r['count']) for r in rows)
We prove that every compact operator on a Hilbert space is a norm limit of finite rank operators. The argument uses the spectral theorem and an approximation of the identity. As a corollary we obtain the Fredholm alternative. The converse is immediate, and a counterexample in Banach spaces is due to Enflo.
""")
EASY_VERBS = lines("""
Summarize this in {two sentences|one paragraph|three bullet points|ten words}:
{Translate|Please translate} the following into {German|French|Spanish|plain English|Italian}:
tl;dr?
Correct the spelling and grammar:
make this {shorter|more formal|friendlier|easier to read}
Extract {all names|the dates|the main claim|every number} from the text below.
What is the {tone|main topic|title you would give} of this text?
List the {action items|people mentioned|key points}.
rewrite this {as a tweet|in the present tense|for children|in the third person}
how many {sentences|words} are in this?
what does this {do|say}?
give me {three comprehension questions|a title|keywords} for this:
explain this in {simple words|one sentence}
classify this text as news, fiction, code or email:
""")


def rows() -> Iterator[tuple[str, str, str]]:
    """(label, kind, text), the same every time."""
    rng = random.Random(12)
    for label, kind, block, times in (
        ("COMPLEX", "proof", COMPLEX_PROOFS, 8),
        ("MODERATE", "textbook", MODERATE_PROOFS, 6),
        ("COMPLEX", "hard-code", COMPLEX_CODE, 9),
        ("MODERATE", "everyday-code", MODERATE_CODE, 8),
        ("COMPLEX", "analysis", COMPLEX_ANALYSIS, 8),
        ("COMPLEX", "short-hard", COMPLEX_SHORT, 3),
        ("COMPLEX", "hard-free", COMPLEX_FREE, 7),
        ("MODERATE", "easy-free", MODERATE_FREE, 6),
    ):
        for text in sentences(block, LISTS, rng, times):
            yield label, kind, text
    for text in LONG_TEXTS:
        for wish in rng.sample(EASY_VERBS, 9):
            [wish_text] = sentences(wish, {}, rng)
            passage = text * rng.choice((1, 1, 2, 4))
            yield (
                "MODERATE",
                "long-easy",
                f"{wish_text}\n\n{passage}" if rng.random() < 0.6 else f"{passage}\n\n{wish_text}",
            )
