# The test guest: a small Linux without a desktop, for tests. See build.sh.
title="Test guest"
