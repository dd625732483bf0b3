"""The page's text."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>coresift: {{ run }}</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:66rem;margin:0 auto;padding:1rem;color:#1c2733}
h1,h2,h3{line-height:1.2}.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem}
td,th{border-bottom:1px solid #d5dde5;padding:.3rem .6rem;text-align:left;white-space:nowrap;
vertical-align:top}
svg{height:auto;max-width:max(100%,36rem)}
.verdict{border-left:4px solid #3b6ea5;background:#eef3f8;padding:.5rem 1rem}
.marks td{white-space:normal;min-width:9rem}.marks td:first-child{min-width:0;white-space:nowrap}
.marks td:nth-child(2){min-width:0}
.mark{white-space:nowrap}.better{color:#1b6b3a;font-weight:600}.worse{color:#a3271b}
.no-different,.unknown{color:#5f6b76}
pre{overflow-x:auto;font-size:.75rem;line-height:1.4;background:#f5f7f9;padding:.5rem}
summary{cursor:pointer;color:#3b6ea5;margin:.4rem 0}
</style></head><body>
<h1>coresift: {{ run }}</h1>
<div class="verdict"><h2>Verdict</h2>{% for line in verdict %}<p>{{ line }}</p>
{% endfor %}</div>
<div class="scroll marks">{{ table(marks) }}</div>
<p>{{ legend }}. Level {{ level }} after correction over all comparisons of an outcome (Holm).</p>
<details><summary>How differences are judged</summary>
<p>A difference must hold over new coreset seeds alone (Welch’s t), and over new seeds and new test
examples together (the same examples for both rows, copies and clusters drawn whole; Satterthwaite’s
degrees of freedom). The larger p-value counts. Seeds of two rows are not paired. With two or three
seeds only large differences are found; “no different” says that none is shown, not that there is
none. The smallest difference detectable in one comparison is (t<sub>1−α/2</sub> + t<sub>0.8</sub>)
times the standard error of the difference, column “detectable” below.</p></details>
{% if held_out_plot %}<h2>Held-out loss</h2>
<p>Loss of every model at the same masked places of sequences that nothing was trained on: as the
pool, so lower is better. Dots are seeds, bars the {{ confidence }} interval of their mean, the
dashed line what letter frequencies reach: a model to its right has learnt nothing.</p>
<div class="scroll">{{ held_out_plot }}</div>{% endif %}
<h2>Results</h2>
<p>Primary metric of each outcome: mean ± standard deviation between coreset seeds
[{{ confidence }} bootstrap interval over test examples and coreset seeds; of two or three seeds
it is too narrow, down to 76 and 86 %, and what differs is said by the comparisons]. All models of
one budget trained on {{ compute }}. Controls are rows like any other: <code>untrained</code> has
random weights, <code>constant</code> guesses from the labels alone, <code>kmer</code> regresses on
k-mer counts, <code>cnn</code> is trained on the task alone, <code>random_*:NAME</code> is drawn at
random with something in common with NAME. A task's protocol stands beside its name:
<code>published</code> as its benchmark trains, <code>quick</code> a cheaper one to screen many
models, on a part of the examples, <code>own</code> as the config says. Protocols are outcomes of
their own: never averaged, never compared.</p>
<div class="scroll">{{ table(results) }}</div>
{% if held_out.height %}<details><summary>Held-out loss by group, and accuracy</summary>
<p><code>macro_X</code>: unweighted mean over the groups of X, lower is better.</p>
<div class="scroll">{{ table(held_out) }}</div></details>{% endif %}
{% if notes.height %}<details><summary>What the tasks' examples lack</summary>
<p>Counted by split: dropped, cropped, read as unknown, or there more than once. Intervals count
copies as one example.</p>
<div class="scroll">{{ table(notes) }}</div></details>{% endif %}
{% if seen.height %}<h2>Identity of test to pool and train</h2>
<p>Distinct test examples by identity to the nearest sequence of the pool and of the task’s own
train split: identical positions of a local alignment (none: nothing near). <code>seen</code> counts
those at the identity <code>at</code> or more. The pool is this run’s, of which a coreset is a part;
of what a checkpoint given by path was pretrained on nothing is known.</p>
<div class="scroll">{{ table(seen) }}</div>
<details><summary>Results by identity</summary>
<p>Primary metric on the examples of each bin [{{ confidence }} interval, where there are enough]
(number of examples).</p>
<div class="scroll">{{ table(by_identity) }}</div></details>{% endif %}
{% if trainings.height %}<details><summary>How long heads and networks were trained</summary>
<p>Medians over seeds; the best epoch is that with the best value on valid.</p>
<div class="scroll">{{ table(trainings) }}</div></details>{% endif %}
<details><summary>{{ comparisons.height }} comparisons with controls</summary>
<p>Difference selection − control, its {{ confidence }} interval, gain (positive where the selection
is better), p-value of one comparison and corrected.</p>
<div class="scroll">{{ table(comparisons) }}</div></details>
{% for title, svg in plots.items() %}<h2>{{ title }}</h2><div class="scroll">{{ svg }}</div>
{% endfor %}
<h2>Coresets</h2>
<p>What each selection takes, beside its pool: means, Kolmogorov-Smirnov distance
(<code>_ks</code>), difference in the shares of groups (<code>_tv</code>).</p>
<details><summary>{{ coresets.height }} coresets</summary>
<div class="scroll">{{ table(coresets) }}</div></details>
<h2>Scores</h2>
{% if identity %}<p>{{ identity }}</p>{% endif %}
<p>Spearman correlation of every score with what is known of the sequences; composition is the
{{ composition }}.</p>
<div class="scroll">{{ table(scores) }}</div>
{% for score, ends in extremes.items() %}<details><summary>{{ score }}: the highest and lowest
sequences</summary>
{% for end, lines in ends.items() %}<h3>{{ end }} influential</h3>
<pre>    score  length  sequence (first {{ shown }} letters)  id
{{ lines }}</pre>{% endfor %}</details>
{% endfor %}
<h2>Corpus</h2>
<p>{{ corpus.records }} records read{% if corpus.long.windows %}, {{ corpus.long.records }} of them
above <code>corpus.max_length</code> and so {{ corpus.long.windows }} windows{% endif %};
{{ corpus.accepted }} accepted, {{ corpus.distinct }} distinct, {{ corpus.not_sampled }} left out by
<code>corpus.sample</code>, {{ corpus.removed }} removed because they are close to held-out task
examples: a pool of {{ corpus.pool }} sequences ({{ corpus.residues }} residues).</p>
<p>{{ leaks }}</p>
{% for line in corpus.problems %}<p>{{ line }}</p>{% endfor %}
<div class="scroll">{{ table(rejects) }}</div>
<div class="scroll">{{ table(sources) }}</div>
<h2>Cropped</h2>
{% if cropped.height %}<p>Sequences longer than a model's input. Training and
held-out losses read all of them, in pieces; every other stage reads the beginning.</p>
<div class="scroll">{{ table(cropped) }}</div>{% else %}<p>Nothing: every model reads every residue
of what it is given.</p>{% endif %}
<h2>The paper's figures, for reference</h2>
<p>Printed in arXiv 2512.12932 without intervals, for {{ scale }}. They are another scale than this
run's: compare the order of rows, not the figures.</p>
{% if beside.height %}<div class="scroll">{{ table(beside) }}</div>{% endif %}
<p>All of the paper's figures, as printed:</p>
<div class="scroll">{{ table(paper) }}</div>
</body></html>
"""
