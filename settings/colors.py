"""The colours of figures and of MLflow's charts: those of Okabe and Ito, which any colour vision can tell apart."""

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
