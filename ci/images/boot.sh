#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: boot --dir DIR [--add CPIO]... [--icount] [--xen OPTIONS] [--cmdline OPTIONS]
#             [--dom0less INITRD [--guest-cmdline OPTIONS] [--background]] [-- QEMU...]
#        boot [--add CPIO]...
#
# Boot this image in QEMU. What it is and how it is driven: ci/images/README.md. As ci/images/boot.sh,
# with the architecture as the first argument, it boots the current image of that architecture.
set -eu
usage()
{
    sed -n 's/^# \(usage: \|       boot\|            \[\)/\1/p' "$0" >&2
    exit 2
}
here=$(cd "$(dirname "$0")" && pwd)
if [ -e "$here/versions.json" ]; then
    image=$here
else
    image=$("$here/build.sh" --path "${1:-}") || usage
    shift
fi
arch=$(cat "$image/arch")

dir='' adds='' icount='' xen_extra='' linux_extra='' guest='' background='' guest_cmdline='console=ttyAMA0'
while [ $# -gt 0 ]; do
    case $1 in
    --icount)
        icount=1
        shift
        continue
        ;;
    --background)
        background=1
        shift
        continue
        ;;
    --)
        shift
        break
        ;;
    --dir | --add | --xen | --cmdline | --dom0less | --guest-cmdline) [ $# -ge 2 ] || usage ;;
    *) usage ;;
    esac
    case $1 in
    --dir) dir=$2 ;;
    --add) adds="$adds $2" ;;
    --xen) xen_extra=$2 ;;
    --dom0less) guest=$2 ;;
    --guest-cmdline) guest_cmdline=$2 ;;
    --cmdline) linux_extra=$(printf %s "$2" | sed 's/,/,,/g') ;; # as QEMU's options want it
    esac
    shift 2
done

if [ -z "$dir" ]; then
    dir=$(mktemp -d "${TMPDIR:-/tmp}/ringproof-boot.XXXXXX")
    echo "the console is $dir/console.log; a shell follows here, poweroff -f ends it" >&2
fi
[ -d "$dir" ] || {
    echo "boot: $dir is not a folder" >&2
    exit 2
}
# The console is Xen's serial port, the control channel dom0's.
set -- -chardev "file,id=console,path=$dir/console.log" -chardev stdio,id=control,signal=off "$@"
initrd=$image/dom0.cpio.gz
if [ -n "$adds" ]; then
    initrd=$dir/initrd
    # shellcheck disable=SC2086 # a list of names
    cat "$image/dom0.cpio.gz" $adds >"$initrd"
fi

[ -z "$icount" ] || set -- -icount shift=1,sleep=off -rtc base=2026-01-01T00:00:00,clock=vm "$@"
if [ "$arch" = x86 ]; then
    emulator=qemu-system-x86_64
    if [ -n "$icount" ]; then # one of its own, beside the images: emulator.sh says why
        emulator=${image%/*}/emulator-x86/$emulator
        [ -x "$emulator" ] || {
            echo "boot: $emulator is missing (make emulator)" >&2
            exit 2
        }
    fi
    # Another CPU model dies in SMAP, RDTSCP or MWAIT; lazy FPU with XSAVE corrupts dom0.
    exec "$emulator" -accel tcg,thread=single -machine q35 -cpu qemu64,+svm,+npt -m 1536 -smp 1 \
        -display none -vga none -nic none -nodefaults -no-reboot -monitor none \
        -serial chardev:console -serial chardev:control \
        -kernel "$image/xen" \
        -append "console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all dom0_mem=512M,max:512M sched=credit sched_credit_tslice_ms=5 dom0_max_vcpus=1 spec-ctrl=eager-fpu $xen_extra" \
        -initrd "$image/kernel console=hvc0 earlyprintk=xen $linux_extra,$initrd" "$@"
fi

set -- -accel tcg,thread=single -display none -nodefaults -no-reboot -monitor none -cpu cortex-a57 -smp 1 -m 1024 \
    -kernel "$image/xen" \
    -append "dtuart=/pl011@9000000 console=dtuart loglvl=all guest_loglvl=all dom0_mem=384M dom0_max_vcpus=1 $xen_extra" \
    -device "guest-loader,addr=0x4a000000,kernel=$image/kernel,bootargs=console=hvc0 rdinit=/init $linux_extra" \
    -device "guest-loader,addr=0x50000000,initrd=$initrd" \
    -serial chardev:console -device pci-serial,chardev=control "$@"
machine=virt,virtualization=on,gic-version=3${icount:+,dtb-randomness=off}
[ -n "$guest" ] || exec qemu-system-aarch64 -M "$machine" "$@"

# Xen starts what it finds in /chosen of the device tree, which is QEMU's and a guest more.
tree=$dir/machine.dtb
qemu-system-aarch64 -M "$machine,dumpdtb=$tree" "$@" </dev/null >"$dir/dumpdtb.log" 2>&1 || {
    cat "$dir/dumpdtb.log" >&2
    exit 1
}
rm -f "$dir/dumpdtb.log"
node=/chosen/domU1
put()
{
    type=$1 property=$2
    shift 2
    # shellcheck disable=SC2086
    fdtput -t "$type" "$tree" "$node" "$property" "$@"
}
# module NAME ADDRESS FILE: where QEMU's loader puts a file, and what Xen takes it for.
module()
{
    node=/chosen/domU1/module@$2
    fdtput -c "$tree" "$node"
    put s compatible "multiboot,$1" multiboot,module
    put x reg 0 "$2" 0 "$(printf %x "$(stat -Lc %s "$3")")"
}
fdtput -c "$tree" "$node"
put s compatible xen,domain
put x '#address-cells' 2
put x '#size-cells' 2
put u cpus 1
put u memory 0 $((192 * 1024)) # KiB
put s xen,enhanced enabled     # it gets a xenstore, when dom0 has one
fdtput "$tree" "$node" vpl011
[ -z "$background" ] || put u trap-unmapped-accesses 0 # from Xen 4.21 on: they read all ones
module kernel 58000000 "$image/kernel"
put s bootargs "rdinit=/init $guest_cmdline"
module ramdisk 5a000000 "$guest"
module device-tree 5f000000 "$image/domu-uio.dtb"
exec qemu-system-aarch64 -M "$machine" -dtb "$tree" \
    -device "loader,addr=0x58000000,file=$image/kernel,force-raw=on" \
    -device "loader,addr=0x5a000000,file=$guest,force-raw=on" \
    -device "loader,addr=0x5f000000,file=$image/domu-uio.dtb,force-raw=on" "$@"
