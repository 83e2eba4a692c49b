#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	static char *kept[4096];

	for (unsigned tick = 0;; tick++) {
		for (int i = 0; i < 40; i++) {
			char *lost = malloc(300 + tick * 7 % 200);
			if (lost)
				memset(lost, 1, 300);
		}
		for (int i = 0; i < 400; i++) {
			unsigned at = (unsigned)rand() % 4096;
			free(kept[at]);
			kept[at] = malloc(64 + (unsigned)rand() % 4000);
			if (kept[at])
				memset(kept[at], 1, 64);
		}
		sleep(1);
	}
}
