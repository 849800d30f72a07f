/* Says what it finds in /vendor, and that nobody can change it. */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <vm_main.h>

static const char kRoot[] = "/vendor";

static int report(const char* path, const struct stat* about, int type, struct FTW* place) {
    (void)type;
    (void)place;
    printf("%s %06o %d:%d", path, (unsigned)about->st_mode, (int)about->st_uid, (int)about->st_gid);
    if (S_ISREG(about->st_mode)) printf(" %lld bytes", (long long)about->st_size);
    char text[256];
    if (S_ISLNK(about->st_mode)) {
        ssize_t size = readlink(path, text, sizeof(text));
        if (size >= 0) printf(" -> %.*s", (int)size, text);
    }
    ssize_t size = lgetxattr(path, "user.vendor.version", text, sizeof(text));
    if (size >= 0) printf(" version %.*s", (int)size, text);
    puts("");
    return 0;
}

static int print_file(const char* path) {
    FILE* file = fopen(path, "r");
    if (file == NULL) return -1;
    char line[256];
    while (fgets(line, sizeof(line), file) != NULL) fputs(line, stdout);
    return fclose(file);
}

int AVmPayload_main(void) {
    if (nftw(kRoot, report, 16, FTW_PHYS) != 0 || print_file("/vendor/current") != 0) {
        perror(kRoot);
        return 1;
    }
    int file = open("/vendor/state/new", O_WRONLY | O_CREAT, 0600);
    if (file >= 0 || errno != EROFS) {
        puts("/vendor can be written");
        return 1;
    }
    printf("/vendor: %s\n", strerror(errno));
    return 0;
}
