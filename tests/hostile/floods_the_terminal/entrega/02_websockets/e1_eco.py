import sys

EVIL = "\x1b]0;hostil\x07\x1b[2J<script>fetch('http://example.com/hostil')</script>\u202e=HYPERLINK(\"http://example.com\")"
print(EVIL, file=sys.stderr)
raise RuntimeError(EVIL)
