"""The numbers of the paper's tables (arXiv 2502.04128 v1), a line a system, for comparison.

PRM is partial search by likeness (of voices, in table 4 of emotion), ORM by words after that.
"""

CODECS = """
Ground truth | – | – | – | – | 1.96 | 1.00 | 4.64 | 4.55 | 1.00 | 4.09
DAC | 600 | 1024 | 12 | 50 | 2.00 | 0.95 | 4.01 | 4.15 | 0.95 | 4.00
EnCodec | 600 | 1024 | 8 | 75 | 2.15 | 0.94 | 2.77 | 3.18 | 0.89 | 3.09
EnCodec | 150 | 1024 | 2 | 75 | 4.90 | 0.85 | 1.56 | 1.94 | 0.60 | 1.58
DAC | 100 | 1024 | 2 | 50 | 13.27 | 0.73 | 1.13 | 1.40 | 0.32 | 1.29
SpeechTokenizer | 100 | 1024 | 2 | 50 | 3.92 | 0.77 | 1.25 | 1.59 | 0.36 | 2.28
Mimi | 100 | 2048 | 8 | 12.5 | 2.96 | 0.91 | 2.25 | 2.80 | 0.73 | 3.56
X-codec | 100 | 1024 | 2 | 50 | 2.49 | 0.86 | 2.33 | 2.88 | 0.72 | 4.21
BigCodec | 80 | 8192 | 1 | 80 | 2.76 | 0.93 | 2.68 | 3.27 | 0.84 | 4.11
WavTokenizer | 75 | 4096 | 1 | 75 | 3.98 | 0.90 | 2.13 | 2.63 | 0.65 | 3.79
Mimi | 75 | 2048 | 6 | 12.5 | 3.61 | 0.89 | 1.99 | 2.51 | 0.65 | 3.38
EnCodec | 75 | 1024 | 1 | 75 | 28.92 | 0.77 | 1.23 | 1.48 | 0.25 | 1.25
DAC | 50 | 1024 | 1 | 50 | 74.55 | 0.62 | 1.06 | 1.20 | 0.08 | 1.25
SpeechTokenizer | 50 | 1024 | 1 | 50 | 5.01 | 0.64 | 1.14 | 1.30 | 0.17 | 1.27
Mimi | 50 | 2048 | 4 | 12.5 | 4.89 | 0.85 | 1.64 | 2.09 | 0.50 | 3.03
StableCodec | 50 | 15625 | 2 | 25 | 5.12 | 0.91 | 2.24 | 2.91 | 0.62 | 4.23
SemantiCodec | 50 | 32768/8192 | 2 | 25 | 6.89 | 0.84 | 1.66 | 2.18 | 0.58 | 2.71
X-codec | 50 | 1024 | 1 | 50 | 3.42 | 0.83 | 1.84 | 2.38 | 0.52 | 4.05
WavTokenizer | 40 | 4096 | 1 | 40 | 11.20 | 0.85 | 1.62 | 2.06 | 0.48 | 3.57
X-codec2 | 50 | 65536 | 1 | 50 | 2.47 | 0.92 | 2.43 | 3.04 | 0.82 | 4.13
"""
"""Table 1, LibriSpeech test-clean: tokens a second, codebook, layers, frames a second, WER, STOI,
PESQ-WB, PESQ-NB, SIM, UTMOS."""

SEED_TTS = """
Human | 1.26 | 0.755 | 2.14 | 0.734 | – | –
X-codec2 resynthesis | 1.92 | 0.677 | 2.91 | 0.619 | – | –
Seed-TTS | 1.12 | 0.796 | 2.25 | 0.762 | 7.59 | 0.776
FireRedTTS | 1.51 | 0.635 | 3.82 | 0.460 | 17.45 | 0.621
MaskGCT | 2.27 | 0.774 | 2.62 | 0.714 | 10.27 | 0.748
E2 TTS 32 NFE | 1.97 | 0.730 | 2.19 | 0.710 | – | –
F5-TTS 32 NFE | 1.56 | 0.741 | 1.83 | 0.647 | 8.67 | 0.713
CosyVoice | 3.63 | 0.723 | 4.29 | 0.609 | 11.75 | 0.709
CosyVoice 2 | 1.45 | 0.748 | 2.57 | 0.652 | 6.83 | 0.724
Llasa 1B 80k, direct | 2.69 | 0.648 (0.779) | 3.71 | 0.541 (0.685) | 17.11 | 0.618 (0.765)
Llasa 1B 160k, direct | 2.22 | 0.658 (0.783) | 3.60 | 0.563 (0.701) | 16.73 | 0.627 (0.770)
Llasa 1B 250k, direct | 1.89 | 0.669 (0.794) | 3.22 | 0.572 (0.708) | 12.13 | 0.638 (0.779)
Llasa 3B 250k, direct | 1.60 | 0.675 (0.792) | 3.14 | 0.579 (0.708) | 13.37 | 0.652 (0.782)
Llasa 8B 250k, direct | 1.59 | 0.684 (0.798) | 2.97 | 0.574 (0.706) | 11.09 | 0.660 (0.787)
Llasa 1B 80k, PRM | 1.52 | 0.811 (0.849) | 2.30 | 0.761 (0.798) | 16.09 | 0.759 (0.824)
Llasa 1B 160k, PRM | 1.29 | 0.815 (0.851) | 2.29 | 0.774 (0.804) | 14.10 | 0.768 (0.830)
Llasa 1B 250k, PRM | 1.11 | 0.818 (0.855) | 2.03 | 0.781 (0.809) | 11.30 | 0.773 (0.833)
Llasa 3B 250k, PRM | 1.06 | 0.824 (0.856) | 1.89 | 0.784 (0.812) | 11.22 | 0.780 (0.836)
Llasa 8B 250k, PRM | 1.04 | 0.827 (0.856) | 1.84 | 0.783 (0.806) | 10.59 | 0.785 (0.839)
Llasa 1B 80k, PRM + ORM | 0.53 | 0.809 (0.840) | 1.43 | 0.761 (0.792) | 7.22 | 0.732 (0.789)
Llasa 1B 160k, PRM + ORM | 0.53 | 0.812 (0.841) | 1.49 | 0.775 (0.798) | 6.35 | 0.745 (0.799)
Llasa 1B 250k, PRM + ORM | 0.45 | 0.818 (0.845) | 1.46 | 0.782 (0.801) | 5.24 | 0.750 (0.803)
Llasa 3B 250k, PRM + ORM | 0.50 | 0.823 (0.848) | 1.31 | 0.783 (0.803) | 5.39 | 0.759 (0.808)
Llasa 8B 250k, PRM + ORM | 0.47 | 0.825 (0.848) | 1.39 | 0.783 (0.799) | 4.38 | 0.767 (0.812)
Llasa 8B 250k + chunking, PRM + ORM | – | – | – | – | 3.12 | 0.770 (0.791)
"""
"""Table 2, Seed-TTS-Eval: zh CER, zh SIM, en WER, en SIM, hard WER, hard SIM; SIM-o (SIM-r)."""

HEARING = """
Whisper large v3 | 1.8 | 3.6
Whisper large v2 | 2.7 | 5.2
llasa asr 1B | 2.3 | 7.2
llasa asr 3B | 1.9 | 5.9
"""
"""Table 3, LibriSpeech: WER of test-clean and test-other."""

EMOTION = """
Ground truth | 0.94 | 0.94
Llasa 1B 80k, direct | 0.753 | 0.815
Llasa 1B 160k, direct | 0.762 | 0.822
Llasa 1B 250k, direct | 0.768 | 0.836
Llasa 3B 250k, direct | 0.769 | 0.852
Llasa 8B 250k, direct | 0.778 | 0.861
Llasa 1B 80k, PRM | 0.933 | 0.970
Llasa 1B 160k, PRM | 0.936 | 0.971
Llasa 1B 250k, PRM | 0.937 | 0.974
Llasa 3B 250k, PRM | 0.949 | 0.975
Llasa 8B 250k, PRM | 0.951 | 0.974
"""
"""Table 4, ESD: likeness in emotion, English and Chinese."""

CONTINUATION = """
Ground truth | 2.15 | 0.668 | –
X-codec2 resynthesis | 2.49 | 0.580 | 0.638
ELLA-V | 2.91 | 0.303 | 0.340
VALL-E R | 2.32 | 0.363 | 0.397
CLaM-TTS | 2.36 | 0.477 | 0.513
VALL-E | 3.8 | – | 0.508
VALL-E 2 | 2.32 | 0.504 | 0.529
Voicebox | 2.0 | 0.593 | 0.616
MELLE | 1.98 | 0.508 | 0.539
Llasa 1B 80k, direct | 2.57 | 0.457 | 0.614
Llasa 1B 160k, direct | 2.48 | 0.475 | 0.625
Llasa 1B 250k, direct | 2.47 | 0.478 | 0.627
Llasa 3B 250k, direct | 2.35 | 0.484 | 0.628
Llasa 8B 250k, direct | 2.29 | 0.483 | 0.626
Llasa 1B 80k, PRM | 2.43 | 0.699 | 0.738
Llasa 1B 160k, PRM | 2.36 | 0.712 | 0.744
Llasa 1B 250k, PRM | 2.37 | 0.712 | 0.743
Llasa 3B 250k, PRM | 2.26 | 0.715 | 0.745
Llasa 8B 250k, PRM | 2.24 | 0.714 | 0.741
Llasa 1B 80k, PRM + ORM | 1.76 | 0.700 | 0.738
Llasa 1B 160k, PRM + ORM | 1.66 | 0.710 | 0.743
Llasa 1B 250k, PRM + ORM | 1.62 | 0.712 | 0.744
Llasa 3B 250k, PRM + ORM | 1.57 | 0.714 | 0.742
Llasa 8B 250k, PRM + ORM | 1.49 | 0.714 | 0.740
"""
"""Table 5, LibriSpeech test-clean, continued: WER, SIM-o, SIM-r."""
