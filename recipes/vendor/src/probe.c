/* Reads every byte of /vendor/firmware, of which the kernel checks, and where it can corrects, each block. */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <vm_main.h>

static const char kFolder[] = "/vendor/firmware";

/* FNV-1a. */
static int hash_file(const char* path, uint64_t* hash, size_t* size) {
    FILE* file = fopen(path, "rb");
    if (file == NULL) return -1;
    unsigned char buffer[4096];
    size_t count;
    *hash = 0xcbf29ce484222325u;
    *size = 0;
    while ((count = fread(buffer, 1, sizeof(buffer), file)) > 0) {
        *size += count;
        for (size_t at = 0; at < count; at++) *hash = (*hash ^ buffer[at]) * 0x100000001b3u;
    }
    int failed = ferror(file);
    fclose(file);
    return failed ? -1 : 0;
}

int AVmPayload_main(void) {
    DIR* folder = opendir(kFolder);
    if (folder == NULL) {
        perror(kFolder);
        return 1;
    }
    int result = 0;
    for (struct dirent* entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        char path[512];
        uint64_t hash;
        size_t size;
        snprintf(path, sizeof(path), "%s/%s", kFolder, entry->d_name);
        if (hash_file(path, &hash, &size) == 0) {
            printf("%s: %zu bytes, %016llx\n", path, size, (unsigned long long)hash);
        } else {
            perror(path);
            result = 1;
        }
    }
    closedir(folder);
    return result;
}
