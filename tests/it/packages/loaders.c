/* Has the loaders of the image look for the driver's modules: what they load, LD_DEBUG=files prints. See loads.c. */
extern int printf(const char *, ...);
extern int open(const char *, int, ...);
extern void *dlopen(const char *, int);
extern void *dlsym(void *, const char *);
extern char *dlerror(void);
extern int setenv(const char *, const char *, int);
extern int strcmp(const char *, const char *);
extern void exit(int);

struct create_info { int type; const void *next; int flags; const void *application; unsigned layers; const void *layer_names;
                     unsigned extensions; const void *extension_names; };

static void *symbol(const char *library, const char *name) {
    void *handle = dlopen(library, 2);
    void *found = handle ? dlsym(handle, name) : 0;
    if (!found) printf("FAILED %s: %s\n", library, dlerror());
    return found;
}

__attribute__((used)) void run(long *stack) {
    const char *what = ((char **)(stack + 1))[1];
    if (!strcmp(what, "vulkan")) {
        struct create_info info = {1, 0, 0, 0, 0, 0, 0, 0};
        void *instance = 0;
        int (*create)(const void *, const void *, void **) = symbol("libvulkan.so.1", "vkCreateInstance");
        if (create) printf("vkCreateInstance = %d\n", create(&info, 0, &instance));
    } else if (!strcmp(what, "egl")) {
        void *(*display)(int, void *, const void *) = symbol("libEGL.so.1", "eglGetPlatformDisplay");
        const char *(*query)(void *, int) = symbol("libEGL.so.1", "eglQueryString");
        if (query) query(0, 0x3055); /* EGL_EXTENSIONS of no display: every vendor is loaded */
        if (display) display(0x313F, 0, 0); /* EGL_PLATFORM_DEVICE_EXT */
    } else if (!strcmp(what, "gbm")) {
        void *(*create)(int) = symbol("libgbm.so.1", "gbm_create_device");
        setenv("GBM_BACKEND", "nvidia-drm", 1);
        if (create) create(open("/dev/null", 2));
    } else if (!strcmp(what, "vdpau")) {
        int (*create)(void *, int, unsigned *, void **) = symbol("libvdpau.so.1", "vdp_device_create_x11");
        unsigned device = 0;
        void *address = 0;
        setenv("VDPAU_DRIVER", "nvidia", 1);
        if (create) create(0, 0, &device, &address);
    }
    exit(0);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n mov %rsp, %rdi\n and $-16, %rsp\n call run\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n mov x0, sp\n bl run\n");
#endif
