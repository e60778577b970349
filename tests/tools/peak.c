/* peak COMMAND..: runs it, its output in the file `out`, and prints the largest resident size of
 * its process in KiB. Small itself: a process begins with the size of the one that it was copied
 * from. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rusage use;
    int status;
    pid_t pid = argc > 1 ? fork() : -1;
    if (pid == 0) {
        if (!freopen("out", "w", stdout) || dup2(1, 2) < 0)
            _exit(126);
        execv(argv[1], argv + 1);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &use) != pid || status)
        return 1;
    printf("%ld\n", use.ru_maxrss);
    return 0;
}
