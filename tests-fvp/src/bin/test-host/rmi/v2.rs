// SPDX-License-Identifier: BSD-3-Clause
//! The commands that only RMI 2.0 has. It shares the others with 1.0.

use rmm_abi::rmi::v2::fid;

super::commands! { fid:
    /// RMI_RMM_CONFIG_SET.
    config_set = RMI_RMM_CONFIG_SET(config);
    /// RMI_RMM_CONFIG_GET.
    config_get = RMI_RMM_CONFIG_GET(config);
    /// RMI_RMM_ACTIVATE.
    rmm_activate = RMI_RMM_ACTIVATE();
    /// RMI_RMM_DEACTIVATE.
    rmm_deactivate = RMI_RMM_DEACTIVATE();
    /// RMI_RMM_STATE_GET.
    rmm_state_get = RMI_RMM_STATE_GET();
    /// RMI_GRANULE_TRACKING_GET.
    tracking_get = RMI_GRANULE_TRACKING_GET(base, top);
    /// RMI_GPT_INFO.
    gpt_info = RMI_GPT_INFO(base, top);
    /// RMI_GPT_L1_CREATE.
    gpt_l1_create = RMI_GPT_L1_CREATE(address);
    /// RMI_GRANULE_RANGE_DELEGATE.
    range_delegate = RMI_GRANULE_RANGE_DELEGATE(base, top);
    /// RMI_GRANULE_RANGE_UNDELEGATE.
    range_undelegate = RMI_GRANULE_RANGE_UNDELEGATE(base, top);
    /// RMI_REALM_TERMINATE.
    realm_terminate = RMI_REALM_TERMINATE(rd);
    /// RMI_RTT_DATA_MAP.
    data_map = RMI_RTT_DATA_MAP(rd, base, top, flags, oaddr);
    /// RMI_RTT_DATA_UNMAP.
    data_unmap = RMI_RTT_DATA_UNMAP(rd, base, top, flags, oaddr);
    /// RMI_RTT_UNPROT_MAP.
    unprot_map = RMI_RTT_UNPROT_MAP(rd, base, top, flags, oaddr);
    /// RMI_RTT_UNPROT_UNMAP.
    unprot_unmap = RMI_RTT_UNPROT_UNMAP(rd, base, top, flags, oaddr);
    /// RMI_PSCI_COMPLETE in the form without a target.
    psci_complete = RMI_PSCI_COMPLETE(calling, status);
    /// RMI_OP_CONTINUE.
    op_continue = RMI_OP_CONTINUE(handle, flags);
    /// RMI_OP_CANCEL.
    op_cancel = RMI_OP_CANCEL(handle);
}
