# SPDX-License-Identifier: MIT
# Images for the real Xen in QEMU: ci/images/README.md. They lie in the cache outside the tree.

.PHONY: images image-x86 image-arm64 packages-images

## make images           images of the real Xen for QEMU: image-x86, image-arm64 (README in ci/images)
images: image-x86 image-arm64

packages-images: packages
	@ci/install-packages.sh packages-images.txt

image-x86 image-arm64: image-%: packages-images
	@ci/images/build.sh $*

## make emulator         the QEMU that counts instructions on x86 (ci/images/emulator.sh)
.PHONY: emulator
emulator: packages-images
	@ci/install-packages.sh packages-emulator.txt
	@ci/images/emulator.sh x86 >/dev/null
