/* The least that a program can do which does what tdrun does.
 *
 *     floor FILE           reads a file, starts two threads, runs three tasks that do nothing on each
 *     floor FILE COUNT LENGTH    besides writes so many lines of that length to stderr, through a buffer
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void nothing(void) {}

static void (*const volatile task)(void) = nothing;

static void *work(void *user) {
    int i;
    for (i = 0; i < 3; i++) task();
    return user;
}

int main(int argc, char **argv) {
    static char buffer[1 << 16], line[1 << 10];
    pthread_t threads[2];
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    long count = argc > 3 ? atol(argv[2]) : 0;
    size_t length = argc > 3 ? (size_t)atol(argv[3]) : 0;
    int i;
    if (!file || length > sizeof line) return 2;
    while (fread(buffer, 1, sizeof buffer, file) > 0) {}
    fclose(file);
    for (i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, work, NULL) != 0) return 1;
    for (i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    if (count) {
        memset(line, '.', length - 1);
        line[length - 1] = '\n';
        setvbuf(stderr, buffer, _IOFBF, sizeof buffer);
        while (count--)
            if (fwrite(line, 1, length, stderr) != length) return 1;
    }
    return 0;
}
