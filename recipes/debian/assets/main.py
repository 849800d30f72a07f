"""The payload: says where it runs, and proves that it cannot change it."""

import hashlib
import sys

PYTHON = '/usr/bin/python3.11'

with open(__file__, 'rb') as script:
    digest = hashlib.sha256(script.read()).hexdigest()
version = '.'.join(str(part) for part in sys.version_info[:2])
print(f'Python {version} in a verified micro-VM runs {__file__}, sha256 {digest}')

try:
    open(PYTHON, 'r+b')
except OSError as error:
    print(f'{PYTHON}: {error.strerror}')
else:
    sys.exit(f'{PYTHON} can be changed')
