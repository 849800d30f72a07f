#include <stdio.h>
#include <vm_main.h>

/* What this returns is the exit code of `microbuild run`. */
int AVmPayload_main(void) {
    puts("__name__: Hello from a verified micro-VM.");
    return 0;
}
