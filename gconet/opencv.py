"""OpenCV, imported here for all modules; if its libraries are missing, the error says what to install."""

try:
    import cv2 as cv2
except ImportError as error:
    raise ImportError(
        f"OpenCV cannot be imported ({error}). Without a display: apt-get install libgl1 libglib2.0-0, or "
        "pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python-headless"
    ) from None
