// Starts crun for containerd. Debian 12's crun refuses bundles of any OCI runtime specification
// but 1.0, although later minor versions only add fields, which it ignores. So the version in
// the configuration of a bundle that is created becomes 1.0. containerd writes it first.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CRUN "/usr/bin/crun"
#define VERSION "{\"ociVersion\":\"1."

static int lower(const char *bundle)
{
	char path[4096], text[sizeof VERSION + 1];
	const off_t minor = sizeof VERSION - 1;

	if ((size_t)snprintf(path, sizeof path, "%s/config.json", bundle) >= sizeof path)
		return 0; // crun reports it
	int file = open(path, O_RDWR | O_CLOEXEC);
	if (file < 0)
		return 0;
	int failed = pread(file, text, sizeof text, 0) == sizeof text && memcmp(text, VERSION, minor) == 0 &&
		text[minor + 1] == '.' && pwrite(file, "0", 1, minor) != 1;
	return close(file) || failed;
}

int main(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i++) {
		if (strcmp(argv[i], "--bundle") == 0 && lower(argv[i + 1])) {
			perror("change the version of the bundle");
			return 1;
		}
	}
	execv(CRUN, argv);
	perror(CRUN);
	return 1;
}
