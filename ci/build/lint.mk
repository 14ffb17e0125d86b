# SPDX-License-Identifier: MIT
# Parts of `make lint` that need the layer table.

.PHONY: libxen-dirs header-check tidy

libxen-dirs:
	@echo $(foreach m,$(libxen_modules),$(dir_$(m)))

# Every header compiles as the only include of a file, with just its module's -I.
headers_of = $(wildcard $(dir_$(1))/*.h $(dir_$(1))/*/*.h)
define header_rule
.PHONY: header-check-$(1)
header-check-$(1): $(INC_LINKS)
	@for h in $(call headers_of,$(1)); do \
	    printf '#include "%s"\n' "$$$$h" | \
	    $(CC) $(CPPFLAGS_COMMON) -I. $(call inc_flags,$(1)) $(filter-out -fPIC,$(CFLAGS_COMMON)) -fsyntax-only -x c - || exit 1; \
	done
header-check: header-check-$(1)
endef
$(foreach m,$(MODULES),$(eval $(call header_rule,$(m))))

TIDY_CHECKS := -*,clang-analyzer-*,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,-bugprone-assignment-in-if-condition,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,-bugprone-narrowing-conversions,-bugprone-macro-parentheses,-bugprone-suspicious-string-compare,-bugprone-sizeof-expression,-bugprone-implicit-widening-of-multiplication-result,-clang-analyzer-security.insecureAPI.strcpy
define tidy_rule
$(OBJ)/$(1:.c=.tidy): $(1) $(OBJ)/$(1:.c=.o)
	@clang-tidy --quiet --warnings-as-errors='*' --checks='$(TIDY_CHECKS)' $(1) -- \
	    $(CPPFLAGS_COMMON) $(cppflags_$(2)) $(call inc_flags,$(2)) -std=c11 2>/dev/null && touch $$@
tidy: $(OBJ)/$(1:.c=.tidy)
endef
TIDY_MODULES := $(filter-out fioengine,$(MODULES))
$(foreach m,$(TIDY_MODULES),$(foreach f,$(wildcard $(dir_$(m))/*.c $(dir_$(m))/*/*.c),$(eval $(call tidy_rule,$(f),$(m)))))
