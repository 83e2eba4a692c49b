/* Children that have ended and are not waited for: they end for good with it. */
#include <sys/wait.h>
#include "target.h"

int main(void)
{
    int zombies = 2000;

    for (int i = 0; i < zombies; i++) {
        pid_t kid = fork();
        siginfo_t ended;
        if (kid < 0)
            fail("fork");
        if (!kid)
            _exit(0);
        if (waitid(P_PID, kid, &ended, WEXITED | WNOWAIT))
            fail("waitid");
    }
    ready("zombies=%d", zombies);
    return 0;
}
