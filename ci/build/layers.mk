# SPDX-License-Identifier: MIT
# Who may include whom. This is the only place; the -I flags of each module follow from it.
#
#   MODULES       every module, and dir_<module> where it lives
#   sees_<module> the modules whose headers it may include, beside its own
#
# A header is included as "<module>/<file>.h". The build makes one folder with one symbolic link
# for each module, and passes only the folders of the modules named here: any other include does
# not compile. What may include libxen's own headers is said in libxen_modules (make lint).

MODULES := spec util virtq gmem xen pci transport device backend frontend toolstack \
           netfront platform_linux simxen check abi conformance stock agent scenario profile machine testbed runner report certify \
           catalog unit fioengine stats plot ringbench peers blkbench suite insns

dir_spec        := ref/spec
dir_util        := ref/util
dir_virtq       := ref/virtq
dir_gmem        := ref/gmem
dir_xen         := ref/xen
dir_pci         := ref/pci
dir_transport   := ref/transport
dir_device      := ref/device
dir_backend     := ref/backend
dir_frontend    := ref/frontend
dir_netfront    := ref/netfront
dir_toolstack   := ref/toolstack
dir_platform_linux := ref/platform-linux
dir_simxen      := harness/simxen
dir_check       := harness/check
dir_abi         := harness/abi
dir_conformance := harness/conformance
dir_stock       := harness/stock
dir_agent       := harness/agent
dir_scenario    := harness/scenario
dir_profile     := harness/profile
dir_machine     := harness/machine
dir_testbed     := harness/testbed
dir_runner      := harness/runner
dir_report      := harness/report
dir_certify     := harness/certify
dir_catalog     := harness/catalog
dir_unit        := harness/unit
dir_fioengine   := bench/fio
dir_stats       := bench/stats
dir_plot        := bench/plot
dir_ringbench   := bench/ring
dir_peers       := bench/peers
dir_blkbench    := bench/blk
dir_suite       := bench/suite
dir_insns       := bench/instructions

sees_spec        := util
sees_util        :=
sees_virtq       := spec util
sees_gmem        := spec util
sees_pci         := spec util
sees_xen         := spec util gmem
sees_device      := spec util virtq gmem
sees_transport   := spec util virtq gmem pci device
sees_backend     := spec util virtq gmem xen pci transport device
sees_frontend    := spec util virtq gmem xen
sees_toolstack   := spec util
sees_netfront    := spec util virtq gmem frontend
# Platform plugins, this one and simxen/guest, see the interface that they implement, nothing else of ref.
sees_platform_linux := util frontend
sees_simxen      := util frontend
sees_check       := util
sees_abi         := util check
sees_conformance := spec util check frontend virtq gmem
# A guest's view of its kernel's drivers: nothing of ours is in it.
sees_stock       := util check
sees_agent       := spec util check abi conformance stock frontend
sees_scenario    := util
sees_profile     := util scenario
sees_report      := util check
sees_catalog     := util check
sees_certify     := util check scenario profile report catalog
sees_machine     := util testbed scenario profile
sees_testbed     := util scenario profile simxen machine
sees_runner      := util check scenario profile report catalog certify testbed stats suite insns
sees_fioengine   := spec util virtq gmem frontend
sees_stats       :=
sees_plot        :=
sees_suite       := util report stats plot
sees_insns       := util check report stats plot
sees_ringbench   := spec util virtq gmem stats
sees_peers       := spec util virtq stats ringbench testbed
sees_blkbench    := spec util virtq device stats ringbench peers testbed
sees_unit        := $(filter-out unit,$(MODULES))

# libxen's own headers: the reference's one place, the simulator, the checks of those libraries,
# the toolstack's side of a testbed (xenstore), and the unit tests' stand-ins.
libxen_modules := xen platform_linux simxen abi machine testbed unit
