# SPDX-License-Identifier: MIT
#
# libpar is built with GNU make alone: no configure step, everything that is made goes into build/.
#
#   make                          the shared and the static library
#   make V=1 CC=clang CFLAGS=-O3  show the commands; your CC, AR, CPPFLAGS, CFLAGS, LDFLAGS are used as they are
#   make install PREFIX=/usr DESTDIR=/tmp/stage
#
# A sanitizer build is the same makefile with VARIANT and SANITIZE set (see check-asan); it has a build directory of its own.

.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

# ---- version: written once, in the header

version_part = $(shell sed -n 's/^.define PAR_VERSION_$(1) //p' include/par/base.h)
ABI := $(call version_part,MAJOR).$(call version_part,MINOR)
VERSION := $(ABI).$(call version_part,PATCH)

# ---- what the user may set

CFLAGS ?= -O2 -g
prefix ?= /usr/local
PREFIX ?= $(prefix)
exec_prefix ?= $(PREFIX)
libdir ?= $(exec_prefix)/lib
includedir ?= $(PREFIX)/include
datarootdir ?= $(PREFIX)/share
mandir ?= $(datarootdir)/man
pkgconfigdir ?= $(libdir)/pkgconfig
PKG_CONFIG ?= pkg-config
INSTALL ?= install
VALGRIND ?= valgrind

# Tests: one suite with T=queue; how many suites run at a time; seconds a suite may take.
T ?= *
JOBS ?= 2
SUITE_SECONDS ?= 110

# ---- what libpar needs in any case

SANITIZE ?=
STATIC_ONLY ?= # tests and examples without the shared library: for a libc that is not the system's own
B := build$(if $(VARIANT),/$(VARIANT))

override WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wfloat-conversion
override PAR_CPPFLAGS := -D_GNU_SOURCE -Iinclude $(if $(SANITIZE),-DPAR_DEBUG)
override PAR_CFLAGS := -std=c11 $(WARNINGS) -pthread -ffile-prefix-map=$(CURDIR)=. \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
override LIB_CFLAGS := -fPIC -fvisibility=hidden -ftls-model=initial-exec
override PAR_LDFLAGS := -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE))
override SO_LDFLAGS := -shared -Wl,-soname,libpar.so.$(ABI) -Wl,--version-script=libpar/libpar.map \
	-Wl,-z,defs -Wl,-z,relro -Wl,-z,now -Wl,-z,nodelete -Wl,-Bsymbolic-functions

override COMPILE = $(CC) $(PAR_CPPFLAGS) $(CPPFLAGS) $(PAR_CFLAGS) $(CFLAGS) -MMD -MP
override LINK = $(CC) $(PAR_CFLAGS) $(CFLAGS) $(PAR_LDFLAGS) $(LDFLAGS)

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

# ---- files

LIB_SOURCES := $(sort $(wildcard libpar/*/*.c))
HEADERS := $(sort $(wildcard include/par/*.h))
EXAMPLE_SOURCES := $(sort $(wildcard examples/*.c))

# Programs of their own, tests/kill/kill and so on; the suite of the same name runs a sample.
CAMPAIGNS := kill storm faults leaks conformance
campaign = $(B)/tests/$(1)/$(1)
SAMPLED := $(if $(SANITIZE),,$(foreach name,$(CAMPAIGNS),$(if $(filter * $(name),$(T)),$(call campaign,$(name)))))

TEST_SOURCES := $(sort $(wildcard tests/test_$(T).c))
ifneq ($(SANITIZE),) # these look at the product as it is installed, or step through it
TEST_SOURCES := $(filter-out tests/test_install.c tests/test_examples.c $(CAMPAIGNS:%=tests/test_%.c),$(TEST_SOURCES))
endif
ifneq ($(STATIC_ONLY),)
TEST_SOURCES := $(filter-out tests/test_install.c,$(TEST_SOURCES))
endif
MAN_PAGES := $(sort $(wildcard doc/*.3 doc/*.7))

LIB_OBJECTS := $(LIB_SOURCES:%.c=$(B)/obj/%.o)

# What is called for each message, item or turn. The rest of an -O2 build is compiled for size.
HOT := channel/body channel/conn channel/queue channel/ring channel/side exec/worker os/mutex shm/cell shm/heap shm/nap \
	sync/lock sync/rwlock
HOT_OBJECTS := $(HOT:%=$(B)/obj/libpar/%.o)
for_size = $(if $(filter -O2,$(CFLAGS)),$(if $(filter $(1),$(HOT_OBJECTS)),,-Os))
EXAMPLES := $(EXAMPLE_SOURCES:%.c=$(B)/%)
TESTS := $(TEST_SOURCES:%.c=$(B)/%)

STATIC_LIB := $(B)/libpar.a
SHARED_LIB := $(B)/libpar.so.$(VERSION)
SHARED_LINKS := $(B)/libpar.so.$(ABI) $(B)/libpar.so
UNINSTALLED_PC := $(B)/libpar-uninstalled.pc

# ---- libraries

.PHONY: all static shared
all: static shared ## build both libraries (the default)
static: $(STATIC_LIB) ## build/libpar.a
shared: $(SHARED_LIB) $(SHARED_LINKS) $(UNINSTALLED_PC) ## build/libpar.so

$(STATIC_LIB): $(LIB_OBJECTS)
	$(say) AR $@
	$(Q)rm -f $@
	$(Q)$(AR) rcsD $@ $^

$(SHARED_LIB): $(LIB_OBJECTS) libpar/libpar.map
	$(say) LINK $@
	$(Q)$(LINK) $(SO_LDFLAGS) -o $@ $(LIB_OBJECTS) $(LDLIBS)

$(SHARED_LINKS): $(SHARED_LIB)
	$(Q)ln -sf $(notdir $(SHARED_LIB)) $@

$(B)/obj/libpar/%.o: libpar/%.c $(B)/flags
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) $(LIB_CFLAGS) $(call for_size,$@) -c -o $@ $<

# Other flags than last time rebuild everything.
$(B)/flags: always
	$(Q)mkdir -p $(@D)
	$(Q)printf '%s\n' '$(subst ','\'',$(COMPILE) $(LIB_CFLAGS) $(LINK))' | cmp -s - $@ || \
		printf '%s\n' '$(subst ','\'',$(COMPILE) $(LIB_CFLAGS) $(LINK))' >$@

.PHONY: always
always:

# ---- pkg-config: one template for the installed and the uninstalled library

# $(call fill_pc,prefix,exec_prefix,libdir,includedir)
fill_pc = sed -e 's|@prefix@|$(1)|' -e 's|@exec_prefix@|$(2)|' -e 's|@libdir@|$(3)|' -e 's|@includedir@|$(4)|' \
	-e 's|@version@|$(VERSION)|' libpar.pc.in

$(UNINSTALLED_PC): libpar.pc.in include/par/base.h Makefile
	$(say) PC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(call fill_pc,$(CURDIR),$${prefix},$${prefix}/$(B),$${prefix}/include) >$@

# ---- examples: linked as a user links them, with the shared library of the build directory

.PHONY: examples demo demo-full
examples: $(EXAMPLES) ## build the slide demos

$(B)/examples/%: examples/%.c $(B)/flags $(if $(STATIC_ONLY),$(STATIC_LIB),$(SHARED_LIB) $(SHARED_LINKS))
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) -MF $@.d $< $(PAR_LDFLAGS) $(LDFLAGS) -o $@ -L$(B) -lpar -Wl,-rpath,'$$ORIGIN/..' $(LDLIBS)

# The Python side of an example lies beside it.
EXAMPLE_SCRIPTS := $(patsubst %,$(B)/%,$(wildcard examples/*.py))
examples: $(EXAMPLE_SCRIPTS)

$(B)/examples/%.py: examples/%.py
	$(Q)mkdir -p $(@D)
	$(Q)cp $< $@

demo: examples ## run all slide demos, the long sleeps of the slides made short
	@tests/run_examples.sh demo $(B)/examples

demo-full: examples ## run all slide demos with the numbers of the slides
	@tests/run_examples.sh full $(B)/examples

# ---- tests

.PHONY: check check-20 check-asan check-tsan check-valgrind tests

# Asked for late, so that building the library needs neither pkg-config nor Check.
CHECK_CFLAGS = $(eval CHECK_CFLAGS := $$(shell $(PKG_CONFIG) --cflags check))$(CHECK_CFLAGS)
CHECK_LIBS = $(eval CHECK_LIBS := $$(shell $(PKG_CONFIG) --libs check))$(CHECK_LIBS)

.PHONY: have-check
have-check:
	@[ -n '$(STATIC_ONLY)' ] || $(PKG_CONFIG) --exists check || { \
		echo "The tests need pkg-config and Check: sudo apt-get install -y pkg-config check" >&2; exit 1; }

tests: $(TESTS)

$(B)/obj/tests/%.o: tests/%.c $(B)/flags | have-check
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) $(CHECK_CFLAGS) -c -o $@ $<

$(B)/tests/test_%: $(B)/obj/tests/test_%.o $(B)/obj/tests/fixture.o $(STATIC_LIB)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(CHECK_LIBS) $(LDLIBS)

override RUN_TESTS = CC='$(CC)' PAR_MAKE='$(MAKE) $(MAKEOVERRIDES)' PAR_BUILD='$(CURDIR)/$(B)' PAR_SOURCE='$(CURDIR)' \
	tests/run_suites.sh $(JOBS) $(SUITE_SECONDS) $(TESTS)

check: $(if $(filter *,$(T)),check-corpus) $(SAMPLED) tests $(if $(SANITIZE),,$(if $(filter * examples install,$(T)),$(if $(STATIC_ONLY),static,all) examples)) ## run the tests; one suite: make check T=queue
	@$(RUN_TESTS)

# ---- campaigns: plain programs of many files, static so that no lazy binding is in the way; `make check` runs a sample of each

define campaign_rules
$(B)/obj/tests/$(1)/%.o: tests/$(1)/%.c $(B)/flags
	$$(say) CC $$@
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(COMPILE) -c -o $$@ $$<

$(call campaign,$(1)): $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard tests/$(1)/*.c))) $(STATIC_LIB)
	$$(say) LINK $$@
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(LINK) $(if $(SANITIZE),,-static) -o $$@ $$^ $$(LDLIBS)
endef
$(foreach name,$(CAMPAIGNS),$(eval $(call campaign_rules,$(name))))

.PHONY: $(CAMPAIGNS:%=check-%)
check-kill: $(call campaign,kill) ## every operation, killed at every instruction (minutes)
	@$<

check-storm: $(call campaign,storm) ## 10^5 random kills of processes that use everything at once (minutes)
	@$<

check-faults: $(call campaign,faults) ## every system call that can fail, failing; old kernels; limits (minutes)
	@$< && tests/faults/outside.sh $<

check-leaks: $(call campaign,leaks) ## every object made and destroyed 10^5 times, a process 10^3: nothing may grow (minutes)
	@$<

check-conformance: $(call campaign,conformance) ## the behaviours that Python's own suite asserts of multiprocessing, and ten deaths
	@$< --functions libpar/libpar.map --page $(B)/conformance.md
	@cmp -s $(B)/conformance.md doc/conformance.md || { \
		echo "doc/conformance.md does not say what this run has shown: make conformance-page" >&2; exit 1; }
	@CC='$(CC)' tests/conformance/python_users.sh $(B)

.PHONY: conformance-page
conformance-page: $(call campaign,conformance) ## write doc/conformance.md from a run of the behaviours
	@$< --page $(B)/conformance.md && cp $(B)/conformance.md doc/conformance.md

check-20: tests all examples $(SAMPLED) ## the tests twenty times in a row
	@for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
		echo "round $$round"; $(RUN_TESTS) || exit 1; done

check-asan: ## all suites under the address and undefined behaviour sanitizers
	@CK_TIMEOUT_MULTIPLIER=4 ASAN_OPTIONS=detect_leaks=0:$$ASAN_OPTIONS UBSAN_OPTIONS=print_stacktrace=1:$$UBSAN_OPTIONS \
		$(MAKE) --no-print-directory VARIANT=asan SANITIZE=address,undefined SUITE_SECONDS=600 check

check-tsan: ## the suites' thread cases under the thread sanitizer
	@CK_INCLUDE_TAGS=threads CK_TIMEOUT_MULTIPLIER=10 TSAN_OPTIONS=halt_on_error=1:$$TSAN_OPTIONS \
		$(MAKE) --no-print-directory VARIANT=tsan SANITIZE=thread SUITE_SECONDS=600 check

# With another libc, and static. Debian has no Check for it, so it is built from Debian's source.
MUSL := build/musl
MUSL_MAKE = $(MAKE) --no-print-directory VARIANT=musl STATIC_ONLY=1 CC=musl-gcc LDFLAGS='-static $(LDFLAGS)' \
	CPPFLAGS='-idirafter $(CURDIR)/$(MUSL)/check/kernel $(CPPFLAGS)' \
	CHECK_CFLAGS='-I$(CURDIR)/$(MUSL)/check/include' CHECK_LIBS='-L$(CURDIR)/$(MUSL)/check/lib -lcheck'

.PHONY: check-musl check-musl-kill have-musl
have-musl:
	@command -v musl-gcc >/dev/null || { echo "musl-gcc is not installed: sudo apt-get install -y musl-tools" >&2; exit 1; }
	@tests/musl/check_for_musl.sh $(MUSL)/check

check-musl: have-musl ## all suites, built with musl, static
	@$(MUSL_MAKE) check

check-musl-kill: have-musl ## the step-kill campaign, built with musl
	@$(MUSL_MAKE) check-kill

check-valgrind: examples ## the examples under valgrind, children included
	@VALGRIND='$(VALGRIND)' tests/run_examples.sh valgrind $(B)/examples

# Hostile bytes and memory: the corpus is replayed with any compiler, new inputs are looked for by libFuzzer.
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
REPLAYERS := $(FUZZ_TARGETS:%=$(B)/tests/fuzz/replay_%)

$(B)/tests/fuzz/replay_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c tests/fuzz/count.c tests/fuzz/fuzz.h $(STATIC_LIB)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(filter-out -MMD -MP,$(COMPILE)) $(PAR_LDFLAGS) $(LDFLAGS) -Wl,--wrap=pari_malloc,--wrap=pari_realloc \
		-o $@ $(filter %.c,$^) $(STATIC_LIB) $(LDLIBS)

.PHONY: check-corpus check-fuzz
check-corpus: $(REPLAYERS) ## replay the fuzz targets' corpus
	@for target in $(FUZZ_TARGETS); do \
		printf 'corpus of %-8s ' $$target; \
		timeout 60 $(B)/tests/fuzz/replay_$$target tests/fuzz/corpus/$$target || exit 1; done

check-fuzz: ## a million executions of each fuzz target (RUNS, FUZZ_SECONDS)
	@mkdir -p $(B) && MAKE='$(MAKE)' tests/fuzz/check.sh $(B)

.PHONY: merge-corpus
merge-corpus: ## take into the corpus what check-fuzz has found, as few files as cover the same
	@mkdir -p $(B) && MAKE='$(MAKE)' tests/fuzz/check.sh $(B) merge

.PHONY: check-models
check-models: ## the models of the sleeping, queue, condition, barrier and heap protocols, with spin
	@CC='$(CC)' tests/models/check.sh $(B)/models

# ---- benchmarks

include bench/bench.mk

# ---- lint and format

.PHONY: lint format map
lint: shared ## floors, comments, man page entries, symbols, format
	@tests/lint.sh $(SHARED_LIB)

format: ## let clang-format write all sources
	clang-format -i include/*.h include/*/*.h libpar/*/*.[ch] $(wildcard tests/*.[ch] tests/*/*.[ch] examples/*.[ch] bench/*.[ch] bench/*/*.[ch])

map: ## write libpar/libpar.map from the headers
	$(Q)tests/public_functions.sh map $(ABI) >$(B)/libpar.map && cp $(B)/libpar.map libpar/libpar.map

# ---- install

.PHONY: install install-lib install-headers install-man uninstall

# A path below the prefix is written relative to it, so that the .pc file can be moved with its tree.
below = $(patsubst $(1)/%,$${$(2)}/%,$(3))

# "page name" for every name in a page's NAME section but the page's own.
man_links = awk 'FNR == 1 { named = 0; page = FILENAME; sub(/.*\//, "", page); own = page; section = page; \
		sub(/\.[0-9]$$/, "", own); sub(/.*\./, "", section) } \
	/^\.Sh / { named = /NAME/ } \
	named && $$1 == ".Nm" && $$2 != own { print page, $$2 "." section }' $(MAN_PAGES) /dev/null

install: install-lib install-headers install-man ## install libraries, headers, libpar.pc, manual (DESTDIR, PREFIX, libdir, ...)

install-lib: all
	$(INSTALL) -d $(DESTDIR)$(libdir) $(DESTDIR)$(pkgconfigdir)
	$(INSTALL) -m 644 $(STATIC_LIB) $(DESTDIR)$(libdir)
	$(INSTALL) -m 755 $(SHARED_LIB) $(DESTDIR)$(libdir)
	ln -sf libpar.so.$(VERSION) $(DESTDIR)$(libdir)/libpar.so.$(ABI)
	ln -sf libpar.so.$(ABI) $(DESTDIR)$(libdir)/libpar.so
	$(call fill_pc,$(PREFIX),$(call below,$(PREFIX),prefix,$(exec_prefix)),$(call below,$(exec_prefix),exec_prefix,$(libdir)),$(call below,$(PREFIX),prefix,$(includedir))) \
		>$(DESTDIR)$(pkgconfigdir)/libpar.pc
	chmod 644 $(DESTDIR)$(pkgconfigdir)/libpar.pc

install-headers:
	$(INSTALL) -d $(DESTDIR)$(includedir)/par
	$(INSTALL) -m 644 include/par.h $(DESTDIR)$(includedir)
	$(INSTALL) -m 644 $(HEADERS) $(DESTDIR)$(includedir)/par

install-man:
	$(INSTALL) -d $(DESTDIR)$(mandir)/man3 $(DESTDIR)$(mandir)/man7
	@for page in $(MAN_PAGES); do \
		$(INSTALL) -m 644 $$page $(DESTDIR)$(mandir)/man$${page##*.} || exit 1; done
	@$(man_links) | while read -r page name; do \
		ln -sf $$page $(DESTDIR)$(mandir)/man$${name##*.}/$$name || exit 1; done

uninstall: ## remove what install has put there
	rm -f $(addprefix $(DESTDIR)$(libdir)/,libpar.a libpar.so libpar.so.$(ABI) libpar.so.$(VERSION))
	rm -f $(DESTDIR)$(pkgconfigdir)/libpar.pc $(DESTDIR)$(includedir)/par.h
	rm -f $(addprefix $(DESTDIR)$(includedir)/par/,$(notdir $(HEADERS)))
	[ ! -d $(DESTDIR)$(includedir)/par ] || rmdir $(DESTDIR)$(includedir)/par
	@for page in $(notdir $(MAN_PAGES)); do rm -f $(DESTDIR)$(mandir)/man$${page##*.}/$$page; done
	@$(man_links) | while read -r page name; do rm -f $(DESTDIR)$(mandir)/man$${name##*.}/$$name; done

# ---- the rest

.PHONY: clean help
clean: ## remove build/
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

-include $(LIB_OBJECTS:.o=.d) $(wildcard $(CAMPAIGNS:%=$(B)/obj/tests/%/*.d)) $(TEST_SOURCES:%.c=$(B)/obj/%.d) $(B)/obj/tests/fixture.d $(EXAMPLES:=.d)
