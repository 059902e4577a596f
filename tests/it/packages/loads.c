/* Loads libraries as programs do, and asks the driver. Linked to the image's own C library, so that one compiler serves every
   image, 64-bit and 32-bit, without headers or start-up files of that image. */
extern int printf(const char *, ...);
extern void *dlopen(const char *, int);
extern void *dlsym(void *, const char *);
extern char *dlerror(void);
extern void exit(int);

static const int NOW = 2;

static void calls(void *library, const char *name, int argument) {
    int (*function)(int) = (int (*)(int))dlsym(library, name);
    if (function) printf("%s = %d\n", name, function(argument));
}

__attribute__((used)) void run(long *stack) {
    long count = stack[0];
    char **arguments = (char **)(stack + 1);
    for (long number = 1; number < count; number++) {
        void *library = dlopen(arguments[number], NOW);
        if (!library) {
            printf("FAILED %s: %s\n", arguments[number], dlerror());
            continue;
        }
        printf("loaded %s\n", arguments[number]);
        calls(library, "cuInit", 0);
        calls(library, "nvmlInit_v2", 0);
    }
    exit(0);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n mov %rsp, %rdi\n and $-16, %rsp\n call run\n");
#elif defined(__i386__)
__asm__(".globl _start\n_start:\n mov %esp, %eax\n and $-16, %esp\n sub $12, %esp\n push %eax\n call run\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n mov x0, sp\n bl run\n");
#endif
