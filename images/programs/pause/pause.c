/* pause holds a pod's namespaces: it reaps adopted children and leaves on
 * SIGTERM or SIGINT. There is one for every pod, so it is C and not Go: it
 * keeps a few pages of memory instead of a runtime. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int sig)
{
	(void)sig;
	_exit(0);
}

static void reap(int sig)
{
	(void)sig;
	while (waitpid(-1, 0, WNOHANG) > 0)
		;
}

int main(void)
{
	struct sigaction on_leave = { .sa_handler = leave };
	struct sigaction on_child = { .sa_handler = reap, .sa_flags = SA_NOCLDSTOP };

	if (sigaction(SIGINT, &on_leave, 0) || sigaction(SIGTERM, &on_leave, 0) ||
	    sigaction(SIGCHLD, &on_child, 0))
		return 1;
	for (;;)
		pause();
}
