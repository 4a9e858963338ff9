/* What of libnvidia-ml.so.1 attesting takes; see nvml.rs. Structures and codes
 * are those of nvml.h. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef int nvmlReturn_t;
typedef struct nvmlDevice_st *nvmlDevice_t;

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    IN_USE = 19,
    UNKNOWN = 999
};

static int started;

nvmlReturn_t nvmlInit_v2(void) {
    if (START == SUCCESS) started++;
    return START;
}

nvmlReturn_t nvmlShutdown(void) {
    if (!started) return UNINITIALIZED;
    started--;
    return SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t code) {
    return code == UNKNOWN ? "Unknown Error" : "Some Error";
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    if (!started) return UNINITIALIZED;
    *count = GPUS;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    if (!started) return UNINITIALIZED;
    if (index >= GPUS) return INVALID_ARGUMENT;
    *device = (nvmlDevice_t)(unsigned long)(0x1000 + index);
    return SUCCESS;
}

#ifndef OLD
static int busy = BUSY;

typedef struct {
    unsigned int environment, ccFeature, devToolsMode;
} nvmlConfComputeSystemState_t;

typedef struct {
    unsigned int certChainSize, attestationCertChainSize;
    unsigned char certChain[0x1000], attestationCertChain[0x1400];
} nvmlConfComputeGpuCertificate_t;

typedef struct {
    unsigned int isCecAttestationReportPresent, attestationReportSize, cecAttestationReportSize;
    unsigned char nonce[0x20], attestationReport[0x2000], cecAttestationReport[0x1000];
} nvmlConfComputeGpuAttestationReport_t;

nvmlReturn_t nvmlSystemGetConfComputeState(nvmlConfComputeSystemState_t *state) {
    if (!started) return UNINITIALIZED;
    state->environment = 2;
    state->ccFeature = FEATURE;
    state->devToolsMode = DEVTOOLS;
    return SUCCESS;
}

static int all(int stream, void *bytes, unsigned int length) {
    unsigned char *at = bytes;
    while (length) {
        ssize_t got = read(stream, at, length);
        if (got <= 0) return 0;
        at += got;
        length -= (unsigned int)got;
    }
    return 1;
}

/* To every pipe of this process, whoever's it is, but standard error. */
static void to_all_pipes(const void *bytes, size_t length) {
    struct stat is;
    for (int stream = 0; stream < 256; stream++)
        if (stream != 2 && fstat(stream, &is) == 0 && S_ISFIFO(is.st_mode))
            (void)!write(stream, bytes, length);
}

/* What this test wants done in the place of an answer; see Deed in nvml.rs. */
static void misbehave(unsigned int deed) {
    static const unsigned char junk[] = {0, 0, 0, 5, 'j', 'u', 'n', 'k', '!'};
    static const unsigned char long_frame[] = {0, 6, 0, 1};
    static const unsigned char zeros[0x10000];
    switch (deed) {
    case 1:
        abort();
    case 2:
        for (;;) pause();
    case 3:
        printf("a line that nobody asked for\n");
        fflush(stdout);
        break;
    case 4:
        to_all_pipes(junk, sizeof junk);
        break;
    case 5:
        to_all_pipes(long_frame, sizeof long_frame);
        for (int piece = 0; piece < 8; piece++) to_all_pipes(zeros, sizeof zeros);
        break;
    }
}

/* Asks whoever makes evidence in this test. */
static int ask(nvmlDevice_t device, const unsigned char *nonce,
               unsigned char *report, unsigned int *report_size, unsigned int report_max,
               unsigned char *chain, unsigned int *chain_size, unsigned int chain_max) {
    unsigned int index = (unsigned int)((unsigned long)device - 0x1000);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET};
    unsigned int deed;
    int stream = socket(AF_UNIX, SOCK_STREAM, 0);
    int done = stream >= 0
        && connect(stream, (struct sockaddr *)&address, sizeof address) == 0
        && write(stream, &index, 4) == 4
        && write(stream, nonce, 32) == 32
        && all(stream, &deed, 4)
        && all(stream, report_size, 4) && *report_size <= report_max
        && all(stream, report, *report_size)
        && all(stream, chain_size, 4) && *chain_size <= chain_max
        && all(stream, chain, *chain_size);
    if (stream >= 0) close(stream);
    if (done) misbehave(deed);
    return done;
}

nvmlReturn_t nvmlDeviceGetConfComputeGpuAttestationReport(
    nvmlDevice_t device, nvmlConfComputeGpuAttestationReport_t *report) {
    static unsigned char chain[0x1400];
    unsigned int chain_size;
    if (!started) return UNINITIALIZED;
    if (!FEATURE) return NOT_SUPPORTED;
    if (busy > 0) {
        busy--;
        return IN_USE;
    }
    if (REPORT != SUCCESS) return REPORT;
    if (!ask(device, report->nonce, report->attestationReport, &report->attestationReportSize,
             sizeof report->attestationReport, chain, &chain_size, sizeof chain))
        return UNKNOWN;
    report->isCecAttestationReportPresent = 0;
#ifdef CLAIMED
    report->attestationReportSize = CLAIMED;
#endif
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetConfComputeGpuCertificate(
    nvmlDevice_t device, nvmlConfComputeGpuCertificate_t *certificate) {
    static unsigned char report[0x2000];
    static const unsigned char nonce[32];
    unsigned int report_size;
    if (!started) return UNINITIALIZED;
    if (!FEATURE) return NOT_SUPPORTED;
    if (!ask(device, nonce, report, &report_size, sizeof report,
             certificate->attestationCertChain, &certificate->attestationCertChainSize,
             sizeof certificate->attestationCertChain))
        return UNKNOWN;
    return SUCCESS;
}
#endif
