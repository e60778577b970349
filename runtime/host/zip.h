/* zip.h: the numbers of the zip format. */
#ifndef DLCC_RUNTIME_HOST_ZIP_H
#define DLCC_RUNTIME_HOST_ZIP_H

enum {
    ZIP_LOCAL = 0x04034b50, ZIP_CENTRAL = 0x02014b50, ZIP_END = 0x06054b50,
    ZIP64_END = 0x06064b50, ZIP64_LOCATOR = 0x07064b50,
    ZIP_STORED = 0, ZIP_DEFLATED = 8,
};

#endif
