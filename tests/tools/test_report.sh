#!/usr/bin/env bash
# --report: one page that needs nothing else, the same for the same run, with every curve in it.
. "$(dirname "$(readlink -f "$0")")/train_lib.sh"
line_model
sed -i 's/^model Line/# a < b \& "c"\n&/' line.dl
expect 0 '' "$DLRUN" train line.dl -q --report one.html
for text in '<svg' '>mse <small>' '>slope <small>' '>loss <small>' '4 all' 'a &lt; b &amp; &quot;c&quot;' '600 of 600'; do
    grep -q -- "$text" one.html || fail "no $text in the page"
done
grep -E 'https?:|src=|@import|<script' one.html && fail "the page needs more than itself"
[ "$(grep -c '<svg' one.html)" = 4 ] || fail "not a curve for the loss and each of three metrics"
python3 - one.html <<'END' || fail "the page is not well-formed, or a point lies outside"
import re, sys
from html.parser import HTMLParser
text = open(sys.argv[1]).read()
open_tags = []
class Check(HTMLParser):
    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "line", "polyline"): open_tags.append(tag)
    def handle_endtag(self, tag):
        if tag not in ("line", "polyline"): assert open_tags.pop() == tag, tag
Check().feed(text)
assert not open_tags, open_tags
for points in re.findall(r"points='([^']*)'", text):
    for x, y in (p.split(",") for p in points.split()):
        assert 0 <= float(x) <= 720 and 0 <= float(y) <= 240, (x, y)
END
expect 0 '' "$DLRUN" train line.dl -q --report two.html
cmp one.html two.html || fail "equal runs, other pages"
# More steps than a curve has points; a key of the recipe.
sed 's/steps = 600/steps = 5000; report = "three.html"/' line.dl >long.dl
expect 0 '' "$DLRUN" train long.dl -q --fresh
[ "$(grep -o 'points=.*' three.html | head -1 | wc -w)" -le 1024 ] || fail "too many points"
grep -q 'at step 5000' three.html || fail "the last point is not the last step"
# A run that fails has its page too.
sed 's/lr=0.1/lr=1e30/' line.dl >bad.dl
expect 5 'E0907' "$DLRUN" train bad.dl -q --fresh --report bad.html
grep -q '<h2>loss' bad.html || fail "no page of a run that failed"
expect 3 'E0902|cannot' "$DLRUN" train line.dl -q --fresh --report nowhere/x.html
echo ok
