"""What the command line says to a shell when it ends."""

FAILED = 1  # the job failed, or a file has errors
MISTAKE = 2  # a mistake of the user, after which nothing was done
INTERRUPTED = 130  # what shells give a program ended by Ctrl-C
BROKEN_PIPE = 141  # the status that shells give a program that writes to nobody
